// Streams of ids in ascending order that can be asked for the first id that is not below another:
// what several of them have in common, and what any of them has.
//
// A stream is whatever `seek` takes: seek(stream, at_least) gives its first id >= at_least, or
// nothing; at_least never goes down.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "eav/core/arena.hpp"
#include "eav/core/core_only.hpp"

namespace eav::core {

using Id = std::int64_t;

// The first id >= at_least that is in all of the streams, of which there is one at least. Each
// stream in turn says where the next candidate is, until all have said the same.
template <typename Stream, typename Seek>
std::optional<Id> seek_in_all(std::span<Stream> streams, Id at_least, Seek&& seek) {
  std::size_t agreed = 0;
  for (std::size_t i = 0; agreed < streams.size(); i = (i + 1) % streams.size()) {
    const std::optional<Id> found = seek(streams[i], at_least);
    if (!found) {
      return std::nullopt;
    }
    agreed = *found == at_least ? agreed + 1 : 1;
    at_least = *found;
  }
  return at_least;
}

// The first id >= at_least that is in any of the streams.
template <typename Stream, typename Seek>
std::optional<Id> seek_in_any(std::span<Stream> streams, Id at_least, Seek&& seek) {
  std::optional<Id> least;
  for (Stream& stream : streams) {
    const std::optional<Id> found = seek(stream, at_least);
    if (found && (!least || *found < *least)) {
      least = found;
    }
  }
  return least;
}

// The smallest of ids that come in any order and more than once, in bounded memory.
class SmallestIds {
 public:
  SmallestIds(const Arena& arena, std::size_t most) : ids_(arena), most_(most) {}

  void clear() {
    ids_.clear();
    next_ = 0;
    has_limit_ = false;
  }
  void add(Id id) {
    if (has_limit_ && id >= limit_) {
      return;
    }
    ids_.push_back(id);
    if (ids_.size() >= most_ * 2) {
      shrink();
    }
  }
  // After the last add(), before the first seek().
  void finish() {
    std::sort(ids_.begin(), ids_.end());
    ids_.truncate(static_cast<std::size_t>(std::unique(ids_.begin(), ids_.end()) - ids_.begin()));
  }

  // Ids from here on may have been left out.
  std::optional<Id> limit() const { return has_limit_ ? std::optional<Id>(limit_) : std::nullopt; }
  std::size_t size() const { return ids_.size(); }

  // Of those that are kept.
  std::optional<Id> seek(Id at_least) {
    // The next one is mostly near.
    std::size_t step = 1;
    std::size_t end = next_;
    while (end < ids_.size() && ids_[end] < at_least) {
      next_ = end + 1;
      end += step;
      step *= 2;
    }
    end = std::min(end, ids_.size());
    next_ = static_cast<std::size_t>(
        std::lower_bound(ids_.begin() + next_, ids_.begin() + end, at_least) - ids_.begin());
    return next_ < ids_.size() ? std::optional<Id>(ids_[next_]) : std::nullopt;
  }

 private:
  void shrink() {
    finish();
    if (ids_.size() > most_) {
      has_limit_ = true;
      limit_ = ids_[most_];
      ids_.truncate(most_);
    }
  }

  ArenaVector<Id> ids_;
  std::size_t most_;
  std::size_t next_ = 0;
  bool has_limit_ = false;
  Id limit_ = 0;
};

}  // namespace eav::core
