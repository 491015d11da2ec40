// The bytes are operations of four producers and a flush on a small ring, which has to do what a
// simple model of it does. Producers die, also inside publish().
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "eav/core/ring.hpp"

#include "eav/core/core_only.hpp"

namespace {

using eav::core::Ring;

constexpr std::uint32_t slabs = 16;
constexpr std::uint32_t queues = 2;
constexpr std::uint32_t producers = 4;
constexpr std::uint64_t published_bit = std::uint64_t{1} << 62;  // of an owner word

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// Each input finds the ring empty and leaves it so. Its making would take most of the time.
struct Memory {
  std::size_t size = Ring::size_for(slabs, queues);
  void* bytes = std::aligned_alloc(64, size);
  Ring* ring = Ring::create(bytes, slabs, queues, 1);
  std::uint64_t next_sequence = 1;
  std::uint32_t next_process = 1;
  std::uint32_t high_water = 0;

  std::atomic<std::uint64_t>& owner_word(std::uint32_t slab) const {
    auto* const end = static_cast<std::uint8_t*>(bytes) + size;
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(end - std::size_t{slabs - slab} *
                                                                    Ring::slab_bytes);
  }
};
Memory& memory() {
  static Memory memory;
  return memory;
}

// The bytes of a parcel.
std::vector<std::uint8_t> content(std::uint64_t sequence, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::uint8_t>(sequence * 31 + i + i / 253);
  }
  return bytes;
}

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  bool is_empty() const { return bytes_.empty(); }
  std::uint32_t byte() {
    if (bytes_.empty()) {
      return 0;
    }
    const std::uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  std::uint32_t word() {
    const std::uint32_t high = byte();
    return high << 8 | byte();
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

class Model {
 public:
  Model() {
    for (std::uint32_t i = 0; i < producers; ++i) {
      producers_[i] = {.process = memory().next_process++, .queue = i % queues, .loose{}, .list{}};
    }
  }

  void step(Input& input) {
    const std::uint32_t operation = input.byte();
    const std::uint32_t who = operation >> 4;
    Producer& producer = producers_[who % producers];
    switch (operation % 11) {
      case 0:
        store(producer, input.byte());
        break;
      case 1:
        store(producer, input.word());
        break;
      case 2:
        append(producer);
        break;
      case 3:
        publish(producer);
        break;
      case 4:
        take(who % queues);
        break;
      case 5:
        release_taken(input.byte());
        break;
      case 6:
        abort(producer);
        break;
      case 7:
        die(producer, false);
        break;
      case 8:
        die(producer, true);
        break;
      case 9:
        recover(who % queues);
        break;
      default:
        ask(who, input.byte());
        break;
    }
    check();
  }

  // Everything is given back.
  void finish() {
    for (Producer& producer : producers_) {
      die(producer, false);
    }
    for (std::uint32_t queue = 0; queue < queues; ++queue) {
      while (take(queue)) {
      }
      recover(queue);
      take(queue);
      recover(queue);
    }
    while (!taken_.empty()) {
      release_taken(0);
    }
    check();
    require(parcels_.empty() && ring_.in_use() == 0);
    // From now on the slabs are given in the same order to every input.
    ring_.recover(
        0, [](std::uint32_t, void*) { return false; }, nullptr);
  }

 private:
  struct Parcel {
    std::uint64_t sequence;
    std::uint64_t order;
    std::size_t size;
    std::uint32_t next = Ring::none;
  };
  struct Producer {
    std::uint32_t process;
    std::uint32_t queue;
    std::vector<std::uint32_t> loose;  // heads of parcels in no list
    std::vector<std::uint32_t> list;
  };
  struct Queue {
    std::deque<std::vector<std::uint32_t>> lists;
    std::vector<std::uint32_t> left;       // by the dead, unpublished
    std::vector<std::uint32_t> half;       // by the dead, marked as published
    std::vector<std::uint32_t> condemned;  // of half, since the queue was last found empty
    std::vector<std::uint32_t> sure;       // of half, before it was
  };

  void store(Producer& producer, std::uint32_t size) {
    const std::uint32_t needed = Ring::slabs_for(size);
    const std::uint64_t order = size ^ 0x5555;
    const auto parcel = ring_.store({.process = producer.process, .queue = producer.queue},
                                    content(memory().next_sequence, size), order);
    require(parcel.has_value() == (used_ + needed <= slabs));
    if (!parcel) {
      return;
    }
    require(parcel->head < slabs && parcel->sequence == memory().next_sequence++);
    require(parcels_.emplace(parcel->head, Parcel{parcel->sequence, order, size}).second);
    used_ += needed;
    memory().high_water = std::max(memory().high_water, used_);
    producer.loose.push_back(parcel->head);
  }

  void append(Producer& producer) {
    if (producer.loose.empty()) {
      return;
    }
    const std::uint32_t head = producer.loose.back();
    producer.loose.pop_back();
    if (!producer.list.empty()) {
      ring_.append(producer.list.back(), head);
      parcels_.at(producer.list.back()).next = head;
    }
    producer.list.push_back(head);
  }

  void publish(Producer& producer) {
    if (producer.list.empty()) {
      return;
    }
    ring_.publish(producer.queue, producer.list.front());
    queues_[producer.queue].lists.push_back(std::exchange(producer.list, {}));
  }

  bool take(std::uint32_t number) {
    Queue& queue = queues_[number];
    std::uint32_t head = ring_.take(number);
    if (queue.lists.empty()) {
      require(head == Ring::none);
      queue.sure.insert(queue.sure.end(), queue.condemned.begin(), queue.condemned.end());
      queue.condemned.clear();
      return false;
    }
    for (const std::uint32_t expected : queue.lists.front()) {
      require(head == expected);
      taken_.push_back(head);
      head = ring_.next_of(head);
    }
    require(head == Ring::none);
    queue.lists.pop_front();
    return true;
  }

  void release(std::uint32_t head) {
    const auto parcel = parcels_.find(head);
    std::vector<std::uint8_t> bytes(ring_.bytes_of(head));
    ring_.copy_out(head, bytes.data());
    require(bytes == content(parcel->second.sequence, parcel->second.size));
    ring_.release(head);
    require(!ring_.is_stored(head, parcel->second.sequence));
    forget(parcel);
  }

  void release_taken(std::uint32_t which) {
    if (!taken_.empty()) {
      const auto chosen = taken_.begin() + which % taken_.size();
      release(*chosen);
      taken_.erase(chosen);
    }
  }

  void abort(Producer& producer) {
    for (const std::uint32_t head : producer.list) {
      release(head);
    }
    producer.list.clear();
    if (!producer.loose.empty()) {
      release(producer.loose.back());
      producer.loose.pop_back();
    }
  }

  void die(Producer& producer, bool inside_publish) {
    Queue& queue = queues_[producer.queue];
    auto& heads = inside_publish ? queue.half : queue.left;
    heads.insert(heads.end(), producer.loose.begin(), producer.loose.end());
    heads.insert(heads.end(), producer.list.begin(), producer.list.end());
    if (inside_publish) {
      for (std::uint32_t slab = 0; slab < slabs; ++slab) {
        std::atomic<std::uint64_t>& word = memory().owner_word(slab);
        if (word == (std::uint64_t{producer.queue} << 32 | producer.process)) {
          word |= published_bit;
        }
      }
    }
    producer = {.process = memory().next_process++, .queue = producer.queue, .loose{}, .list{}};
  }

  void recover(std::uint32_t number) {
    Queue& queue = queues_[number];
    std::uint32_t expected = 0;
    std::vector<std::pair<std::uint32_t, std::uint64_t>> gone;
    for (auto* const heads : {&queue.left, &queue.sure}) {
      for (const std::uint32_t head : *heads) {
        const auto parcel = parcels_.find(head);
        expected += Ring::slabs_for(parcel->second.size);
        gone.emplace_back(head, parcel->second.sequence);
        forget(parcel);
      }
      heads->clear();
    }
    queue.condemned.insert(queue.condemned.end(), queue.half.begin(), queue.half.end());
    queue.half.clear();
    const auto is_dead = [](std::uint32_t process, void* context) {
      for (const Producer& producer : static_cast<Model*>(context)->producers_) {
        if (producer.process == process) {
          return false;
        }
      }
      return true;
    };
    require(ring_.recover(number, is_dead, this) == expected);
    for (const auto& [head, sequence] : gone) {
      require(!ring_.is_stored(head, sequence));
    }
  }

  void ask(std::uint32_t head, std::uint32_t back) {
    constexpr std::uint64_t bits = (std::uint64_t{1} << 36) - 1;
    const std::uint64_t sequence = memory().next_sequence - back;
    const auto parcel = parcels_.find(head);
    require(ring_.is_stored(head, sequence) ==
            (parcel != parcels_.end() && (parcel->second.sequence & bits) == (sequence & bits)));
    require(!ring_.is_stored(slabs + back, sequence));
  }

  void forget(std::map<std::uint32_t, Parcel>::iterator parcel) {
    used_ -= Ring::slabs_for(parcel->second.size);
    parcels_.erase(parcel);
  }

  void check() const {
    require(ring_.in_use() == used_ && ring_.high_water() == memory().high_water);
    for (std::uint32_t queue = 0; queue < queues; ++queue) {
      require(ring_.has_published(queue) == !queues_[queue].lists.empty());
    }
    for (const auto& [head, parcel] : parcels_) {
      require(ring_.is_stored(head, parcel.sequence));
      require(ring_.bytes_of(head) == parcel.size && ring_.order_of(head) == parcel.order &&
              ring_.sequence_of(head) == parcel.sequence && ring_.next_of(head) == parcel.next);
    }
  }

  Ring& ring_ = *memory().ring;
  std::map<std::uint32_t, Parcel> parcels_;  // by head
  std::array<Producer, producers> producers_;
  std::array<Queue, queues> queues_;
  std::vector<std::uint32_t> taken_;
  std::uint32_t used_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input({data, size});
  Model model;
  while (!input.is_empty()) {
    model.step(input);
  }
  model.finish();
  return 0;
}
