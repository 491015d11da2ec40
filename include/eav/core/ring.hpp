// The ring: parcels of bytes from many producer processes to the flush, through memory that they
// share, without a lock. Protocol in ring.cpp.
//
// A parcel is what one call of eav.ingest() hands over; the parcels of one transaction are
// published together, by one push. The memory is divided into slabs of fixed size; a parcel fills
// a chain of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "eav/core/core_only.hpp"

namespace eav::core {

class Ring {
 public:
  static constexpr std::uint32_t slab_bytes = 2048;  // with the header of the slab
  static constexpr std::uint32_t max_slabs = 32768;
  static constexpr std::uint32_t none = UINT32_MAX;  // no slab

  // Who reserves: a process id, not 0, and the queue that its parcels will go to.
  struct Owner {
    std::uint32_t process;
    std::uint32_t queue;
  };
  struct Parcel {
    std::uint32_t head;      // first slab
    std::uint64_t sequence;  // strictly growing in the order of store(); 36 bits
  };

  // Bytes of shared memory for so many slabs (1 to max_slabs) and queues.
  static std::size_t size_for(std::uint32_t slabs, std::uint32_t queues);
  // Makes a ring in memory of that size, aligned to a cache line. The first parcel gets the
  // sequence number first_sequence. Nobody else may look at the memory meanwhile.
  static Ring* create(void* memory, std::uint32_t slabs, std::uint32_t queues,
                      std::uint64_t first_sequence);
  // The ring that create() made in this memory, maybe by another process. Throws Error XX001 when
  // there is none, or one of another layout.
  static Ring* attach(void* memory);

  // Nothing from here on allocates or throws.

  // --- producers ---------------------------------------------------------------------------

  // How many slabs a parcel of so many bytes takes; at least one.
  static std::uint32_t slabs_for(std::size_t bytes) noexcept;
  // Reserves slabs and copies the bytes in; none when there are not enough free slabs, and then
  // nothing has changed. The parcel belongs to its owner until it is published or released.
  // `order` is kept with it.
  std::optional<Parcel> store(const Owner& owner, std::span<const std::uint8_t> bytes,
                              std::uint64_t order) noexcept;
  // Makes `next` follow `first` (and what follows it already) when `first` is published.
  // `last` is the end of first's list so far: first itself, or the last parcel appended.
  void append(std::uint32_t last_head, std::uint32_t next_head) noexcept;
  // Hands the list of parcels that begins with this one to the queue. Cannot fail.
  void publish(std::uint32_t queue, std::uint32_t first_head) noexcept;

  // --- the flush ---------------------------------------------------------------------------

  // The first parcel of the next list in the queue, or none. Its parcels belong to the caller
  // from now on, whoever that is, until released: they survive the end of this process.
  std::uint32_t take(std::uint32_t queue) noexcept;
  // As of some moment. May miss a list whose producer was killed inside publish(); take() does not.
  bool has_published(std::uint32_t queue) const noexcept;

  // Of a parcel that is stored:
  std::size_t bytes_of(std::uint32_t head) const noexcept;
  std::uint64_t order_of(std::uint32_t head) const noexcept;
  std::uint64_t sequence_of(std::uint32_t head) const noexcept;
  std::uint32_t next_of(std::uint32_t head) const noexcept;  // the parcel appended to it, or none
  void copy_out(std::uint32_t head, std::uint8_t* bytes) const noexcept;  // bytes_of() of them
  // Its first bytes, as many as asked for, bytes_of() at most.
  void copy_beginning(std::uint32_t head, std::span<std::uint8_t> bytes) const noexcept;

  // Gives back the slabs of one parcel. By its owner, or by who has taken it.
  void release(std::uint32_t head) noexcept;

  // Whether the parcel has been neither released nor recovered. Any process may ask, about any
  // slab number and sequence (36 bits).
  bool is_stored(std::uint32_t head, std::uint64_t sequence) const noexcept;

  // Gives back what owners with the given queue have left behind that are dead. Nobody else takes
  // from that queue or recovers it meanwhile; producers go on, and other queues are recovered
  // independently. It looks at every slab, and store() may refuse meanwhile. Returns the number of
  // slabs.
  // What a dead owner had not published comes back at once. What it had published stays, because
  // it may be in the queue still, and comes back only by a later call, when take() has found the
  // queue empty in between: then the owner was killed inside publish().
  using IsDead = bool (*)(std::uint32_t process, void* context);
  std::uint32_t recover(std::uint32_t queue, IsDead is_dead, void* context) noexcept;

  // --- figures, as of some moment between call and return --------------------------------------

  std::uint32_t slabs() const noexcept { return slabs_; }
  std::uint32_t queues() const noexcept { return queues_; }
  std::uint32_t in_use() const noexcept;
  std::uint32_t high_water() const noexcept;  // the most slabs ever in use at one time

 private:
  struct Slab;
  struct FreeList;
  struct ReadyList;

  Ring(std::uint32_t slabs, std::uint32_t queues, std::uint64_t first_sequence);

  static std::size_t ready_offset(std::uint32_t queue);
  template <typename T>
  T& at(std::size_t offset) const noexcept;
  FreeList& free_list() const noexcept;
  ReadyList& ready_list(std::uint32_t queue) const noexcept;
  Slab& slab(std::uint32_t index) const noexcept;

  std::uint32_t claim(std::uint64_t owner) noexcept;
  std::uint32_t claim_chain(std::uint64_t owner, std::uint32_t count) noexcept;
  void free_slab(std::uint32_t index) noexcept;
  void free_chain(std::uint32_t head) noexcept;
  void count_claimed(std::uint32_t count) noexcept;
  void rebuild_free_list() noexcept;

  std::uint64_t magic_ = 0;
  std::uint64_t size_;
  std::uint32_t slabs_;
  std::uint32_t queues_;
  // On a cache line of their own: the ones above never change.
  alignas(64) std::atomic<std::uint64_t> usage_ = 0;  // slabs in use, below a count of changes
  std::atomic<std::uint64_t> next_sequence_;
  std::atomic<std::uint32_t> high_water_ = 0;
};

}  // namespace eav::core
