// The ring is written and read by many processes at once, each of which may be killed between any
// two instructions. This is the protocol that they keep.
//
// Memory. The Ring itself, the free list, a ready list for each queue, the slabs. It holds indexes
// and no pointers, so each process may map it where it likes, at a multiple of a cache line. Every
// word that two processes may touch at the same time is an atomic without a lock.
//
// Owner words. Whose a slab is stands in one word in its header, and nowhere else:
//
//   free --store--> stored by (queue, process) --publish--> published by (queue, process)
//   published --take--> taken                  stored, taken --release--> free
//   stored by the dead --recover--> free
//   published by the dead --recover--> condemned --take--> taken
//                                      condemned --recover--> free
//
// A slab leaves "free" by a compare-and-swap only, so of all who want it one gets it. It leaves
// another state only by who it belongs to: the process in the word, or who has taken it. Two cases
// need an argument. For the dead acts recover(), of which there is one at a time for a queue, and
// it asks whether the process is dead after it has read the word: a later process with the same
// number cannot own the slab yet. And a list that is published belongs to whoever takes it, which
// is decided by a compare-and-swap on the word of its first head; the taker alone then changes the
// others.
//
// Free list. A stack of hints: the number of a slab that is perhaps free. The slab that was freed
// last is used first, so that no more of the ring is touched than is in use at one time: the rest
// of it need not be in anybody's caches, or be mapped by each new process. store() pops a hint and
// tries the owner word. When that fails somebody else has the slab, and the hint is dropped.
// release() first makes the word free and then pushes a hint. So there may be a hint too many,
// which is harmless; and when nobody was killed, there is one for each free slab, in the stack or
// in the hands of a process that is about to try it or to push it: a hint is only used up by a
// claim, or by finding a slab claimed, and whoever has claimed it gives a new one after it.
//
// Parcels. A chain of slabs, linked by next_slab; the header of the first one, the head, describes
// it. Parcels of one list are linked by next_parcel in their heads. These fields and the bytes are
// no atomics: they belong to the owner of the slab.
//
// publish() marks all slabs of the list, its first head last, and then pushes this head to the
// ready list. take() pops it, and takes it only when it is marked as published to that queue: a
// head that came out of the ready list twice, or that has become somebody else's meanwhile, is
// dropped.
//
// is_stored() looks at the sequence number in the head alone. It is set at the end of store(),
// and wiped before the first slab is freed, so a free slab has none; who claims it next wipes
// nothing, and sets his own at the end. A slab that is no head has none either.
//
// Publishing cannot fail. push() fails only when the ready list has no node left. It has 33,153
// nodes, of which one is a dummy. A slab is the head of at most one entry: a second one would need
// a second publish(), before which the first entry was popped. That makes at most 32,768. 384 are
// left: for takers, who hold one each between unlinking and freeing it, and for what is lost with
// processes that were killed inside push() or pop(), one node each. (A server makes the ring anew
// after the first such kill. Without that, the list that finds no node would stay with its
// producer, and be given back after its end: its values would be lost, and nothing else.)
//
// The free list has almost two nodes for each slab. If a push fails all the same, a hint is lost.
//
// Kills. What a process may leave behind when it is killed:
//   - in store(): slabs that it has claimed. recover() finds them by their owner words. Also a hint
//     that it had popped and not tried: recover() makes the free list anew.
//   - in publish(): marked slabs of a list that is not in the ready list. A list that is in there
//     looks the same. Both become condemned, and stay where they are. When take() has found the
//     queue empty after that, everything a dead process had pushed has been taken, and what is
//     still condemned was never pushed. So it does not matter how many lists a process published
//     just before its end, nor whether they were taken before or after somebody noticed that it is
//     dead.
//   - in release(): some slabs freed, the others its own still. recover() finds these; the hint of
//     one that was freed may be lost, as above.
//   - a consumer in take(), after it has popped a head and before it has marked it: the list is in
//     no queue. It goes back when its producer is dead, and its values are lost. In take() later
//     on, and in release(): what is marked as taken and not yet free stays so until the ring is
//     made anew. The processes that take are not to be killed; the server that sees one killed
//     makes the ring anew.
//
// recover() beside living producers. It drains the free list, and then pushes a hint for every slab
// that it sees free. A hint that it drained is of a slab that it looks at afterwards: either it is
// still free, or somebody has claimed it meanwhile, who will give a new hint. A release that is
// under way when it looks gives a second hint, which is harmless. So a slab may have a hint too
// many, but never none, unless somebody was killed after recover() had begun; the next one helps.
// Between draining and pushing, store() may find too few hints, and refuse. Two processes may
// recover two queues at the same time: each looks at all slabs after it has drained.
//
// Figures. in_use() is counted up after slabs were claimed and down before they are freed, so it
// is never too high, and too low by what is under way, or was when somebody was killed. It decides
// nothing but whether a parcel of several slabs is tried at all: claims beyond the end find no hint
// and are given back. recover() counts again, and sets the figure when nobody has changed it
// meanwhile; then it may be too high by what is under way at that moment, and large parcels be
// refused that much too early, until it is counted again. Whatever it says, parcels of one slab get
// the last slab.
//
// Races that are accepted.
//   - Two parcels of several slabs that compete for the last ones may both be refused, although one
//     alone would fit; so may one that comes while another is given back.
//   - The links of boost's queues and stacks carry tags of 16 bits against the ABA problem. A
//   process that is
//     interrupted inside push() or pop(), within some nanoseconds, while the others do exactly a
//     multiple of 65,536 operations of the kind that counts the same tag, and end with the same
//     node in that place, goes on with what it read before. Then entries may be lost or come twice;
//     and if the links had changed as well, nodes may be linked wrongly, up to a queue that goes in
//     circles, whose users do not come back. Even at the full speed of the ring such a process has
//     to be away for milliseconds, and then the count has to be right, which it is one time in
//     65,536. At the head of a ready list it cannot happen while one process takes at a time.
//     Also then no slab gets two owners: claims are decided by owner words, and a head that comes
//     twice, or too early, is taken only if it is published, that is complete, and once. A hint
//     that is lost comes back with recover(); a list that is lost stays with its producer, and goes
//     back when that is dead.
//   - has_published() compares the two ends of the ready list, which misses an entry that its
//     producer was killed before it had moved the end to. The next push() or pop() moves it.
//
// Memory order. Freeing a slab is a release, claiming it an acquire: the previous owner is done
// with the slab before the next one begins. The mark of the first head in publish() is a release,
// the compare-and-swap of take() an acquire, so the taker sees the parcels, and the marks of the
// other slabs, which therefore are relaxed. The sequence number is wiped by a release and read by
// an acquire: who sees that a parcel is not stored any more also sees what its releaser did before,
// through later owners as well, since each of them has acquired the word that the one before
// released. Numbering is a relaxed addition: all processes agree about the order of changes to one
// atomic, and a store() that another one knows of came earlier in it. The figures decide nothing,
// and are relaxed. So is the bookkeeping of recover(), whose callers take turns and see to it that
// one sees what the other did.
#include "eav/core/ring.hpp"

#include <algorithm>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/stack.hpp>
#include <cstring>
#include <new>
#include <type_traits>

#include "eav/core/error.hpp"
#include "eav/core/ticket.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {

namespace {

constexpr std::uint64_t magic_number = 0x0001'676e'6972'7661;  // "avring", version 1
constexpr std::size_t cache_line = 64;
constexpr std::uint64_t no_sequence = UINT64_MAX;

// Nodes of a queue that may be in the hands of processes, or lost with them.
constexpr std::size_t reserve = 384;
constexpr std::size_t ready_capacity = Ring::max_slabs + reserve;
constexpr std::size_t free_capacity = 65'500;  // boost numbers its nodes with 16 bits

template <std::size_t entries>
using Queue = boost::lockfree::queue<std::uint16_t, boost::lockfree::capacity<entries>>;
template <std::size_t entries>
using Stack = boost::lockfree::stack<std::uint16_t, boost::lockfree::capacity<entries>>;

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<std::uint64_t>) == sizeof(std::uint64_t));
// boost::atomic would fall back to locks in memory of the process.
static_assert(std::is_same_v<boost::lockfree::atomic<int>, std::atomic<int>>);
static_assert(std::atomic<boost::lockfree::detail::tagged_index>::is_always_lock_free);
static_assert(!std::is_polymorphic_v<Queue<1>>);
static_assert(Ring::max_slabs <= 1U << Ticket::slab_bits);

// Owner words.
constexpr std::uint64_t nobody = 0;
constexpr std::uint64_t taken = std::uint64_t{1} << 63;
constexpr std::uint64_t published = std::uint64_t{1} << 62;
constexpr std::uint64_t condemned = std::uint64_t{1} << 61;

constexpr std::uint64_t word_of(std::uint32_t queue, std::uint32_t process) {
  return std::uint64_t{queue} << 32 | process;
}
constexpr std::uint32_t process_of(std::uint64_t word) { return static_cast<std::uint32_t>(word); }
// Whether the word is that of a producer, and of this queue.
constexpr bool is_of_queue(std::uint64_t word, std::uint32_t queue) {
  return process_of(word) != 0 && (word & ~(published | condemned)) >> 32 == queue;
}

// Ring::usage_: every change adds one_change, plus or minus a number of slabs.
constexpr std::uint64_t one_change = std::uint64_t{1} << 32;
// What processes have left uncounted when they were killed may take it out of its limits.
std::uint32_t used_of(std::uint64_t usage, std::uint32_t slabs) {
  const auto used = static_cast<std::int32_t>(static_cast<std::uint32_t>(usage));
  return std::min(static_cast<std::uint32_t>(std::max(used, 0)), slabs);
}

}  // namespace

struct alignas(cache_line) Ring::Slab {
  std::atomic<std::uint64_t> owner = nobody;
  std::atomic<std::uint64_t> sequence = no_sequence;  // in the head of a stored parcel
  // Below: only for who owns the slab.
  std::uint64_t bytes = 0;           // of the parcel, in its head
  std::uint64_t order = 0;           // in its head
  std::uint32_t next_parcel = none;  // in its head
  std::uint32_t next_slab = none;
  alignas(cache_line) std::uint8_t data[slab_bytes - cache_line];
};

struct alignas(cache_line) Ring::FreeList {
  Stack<free_capacity> hints;
};

struct alignas(cache_line) Ring::ReadyList {
  Queue<ready_capacity> heads;
  alignas(cache_line) std::atomic<std::uint64_t> found_empty = 0;  // how often, by take()
  std::atomic<std::uint64_t> condemned_at = 0;  // found_empty when recover() last condemned slabs
};

static_assert(std::is_standard_layout_v<Ring>);
static_assert(sizeof(Ring) % cache_line == 0);

std::size_t Ring::ready_offset(std::uint32_t queue) {
  return sizeof(Ring) + sizeof(FreeList) + queue * sizeof(ReadyList);
}

template <typename T>
T& Ring::at(std::size_t offset) const noexcept {
  static_assert(sizeof(T) % cache_line == 0 && alignof(T) == cache_line);
  const auto* const base = reinterpret_cast<const std::uint8_t*>(this);
  return *reinterpret_cast<T*>(const_cast<std::uint8_t*>(base) + offset);
}

Ring::FreeList& Ring::free_list() const noexcept { return at<FreeList>(sizeof(Ring)); }

Ring::ReadyList& Ring::ready_list(std::uint32_t queue) const noexcept {
  return at<ReadyList>(ready_offset(queue));
}

Ring::Slab& Ring::slab(std::uint32_t index) const noexcept {
  static_assert(std::is_standard_layout_v<Slab>);
  static_assert(sizeof(Slab) == slab_bytes && offsetof(Slab, data) == cache_line);
  return at<Slab>(ready_offset(queues_) + std::size_t{index} * sizeof(Slab));
}

std::size_t Ring::size_for(std::uint32_t slabs, std::uint32_t queues) {
  return ready_offset(queues) + std::size_t{slabs} * sizeof(Slab);
}

Ring::Ring(std::uint32_t slabs, std::uint32_t queues, std::uint64_t first_sequence)
    : size_(size_for(slabs, queues)),
      slabs_(slabs),
      queues_(queues),
      next_sequence_(first_sequence) {
  new (&free_list()) FreeList;
  for (std::uint32_t queue = 0; queue < queues; ++queue) {
    new (&ready_list(queue)) ReadyList;
  }
  for (std::uint32_t index = 0; index < slabs; ++index) {
    new (&slab(index)) Slab;
    free_list().hints.push(static_cast<std::uint16_t>(index));
  }
  magic_ = magic_number;
}

Ring* Ring::create(void* memory, std::uint32_t slabs, std::uint32_t queues,
                   std::uint64_t first_sequence) {
  return new (memory) Ring(slabs, queues, first_sequence);
}

Ring* Ring::attach(void* memory) {
  auto* const ring = static_cast<Ring*>(memory);
  if (reinterpret_cast<std::uintptr_t>(memory) % cache_line != 0 || ring->magic_ != magic_number) {
    throw Error("XX001", "there is no ring in this memory");
  }
  if (ring->slabs_ == 0 || ring->slabs_ > max_slabs || ring->queues_ == 0 ||
      ring->size_ != size_for(ring->slabs_, ring->queues_)) {
    throw Error("XX001", "the ring in this memory has another layout");
  }
  return ring;
}

std::uint32_t Ring::slabs_for(std::size_t bytes) noexcept {
  constexpr std::size_t room = sizeof(Slab::data);
  const std::size_t slabs = bytes / room + (bytes % room != 0 ? 1 : 0);
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(slabs, 1, UINT32_MAX));
}

// A free slab that now belongs to the owner, or none.
std::uint32_t Ring::claim(std::uint64_t owner) noexcept {
  std::uint16_t hint = 0;
  while (free_list().hints.pop(hint)) {
    std::uint64_t expected = nobody;
    if (slab(hint).owner.compare_exchange_strong(expected, owner, std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
      return hint;
    }
  }
  return none;
}

// The first of so many slabs, or none.
std::uint32_t Ring::claim_chain(std::uint64_t owner, std::uint32_t count) noexcept {
  std::uint32_t head = none;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t index = claim(owner);
    if (index == none) {
      free_chain(head);
      return none;
    }
    slab(index).next_slab = head;
    head = index;
  }
  return head;
}

void Ring::free_slab(std::uint32_t index) noexcept {
  slab(index).owner.store(nobody, std::memory_order_release);
  free_list().hints.push(static_cast<std::uint16_t>(index));
}

void Ring::free_chain(std::uint32_t head) noexcept {
  while (head != none) {
    const std::uint32_t next = slab(head).next_slab;
    free_slab(head);
    head = next;
  }
}

void Ring::count_claimed(std::uint32_t count) noexcept {
  const std::uint64_t before = usage_.fetch_add(one_change + count, std::memory_order_relaxed);
  const std::uint32_t used = used_of(before + count, slabs_);
  std::uint32_t most = high_water_.load(std::memory_order_relaxed);
  while (used > most && !high_water_.compare_exchange_weak(most, used, std::memory_order_relaxed)) {
  }
}

std::optional<Ring::Parcel> Ring::store(const Owner& owner, std::span<const std::uint8_t> bytes,
                                        std::uint64_t order) noexcept {
  const std::uint32_t count = slabs_for(bytes.size());
  if (count > 1 && (count > slabs_ || count > slabs_ - in_use())) {
    return std::nullopt;
  }
  const std::uint32_t head = claim_chain(word_of(owner.queue, owner.process), count);
  if (head == none) {
    return std::nullopt;
  }
  count_claimed(count);
  Slab& first = slab(head);
  first.bytes = bytes.size();
  first.order = order;
  first.next_parcel = none;
  for (std::uint32_t index = head; !bytes.empty(); index = slab(index).next_slab) {
    Slab& target = slab(index);
    const std::size_t piece = std::min(bytes.size(), sizeof(target.data));
    std::memcpy(target.data, bytes.data(), piece);
    bytes = bytes.subspan(piece);
  }
  const std::uint64_t sequence = next_sequence_.fetch_add(1, std::memory_order_relaxed);
  first.sequence.store(sequence, std::memory_order_release);
  return Parcel{head, sequence};
}

void Ring::append(std::uint32_t last_head, std::uint32_t next_head) noexcept {
  slab(last_head).next_parcel = next_head;
}

void Ring::publish(std::uint32_t queue, std::uint32_t first_head) noexcept {
  const std::uint64_t word =
      published |
      word_of(queue, process_of(slab(first_head).owner.load(std::memory_order_relaxed)));
  for (std::uint32_t head = first_head; head != none; head = slab(head).next_parcel) {
    for (std::uint32_t index = head; index != none; index = slab(index).next_slab) {
      if (index != first_head) {
        slab(index).owner.store(word, std::memory_order_relaxed);
      }
    }
  }
  slab(first_head).owner.store(word, std::memory_order_release);
  ready_list(queue).heads.push(static_cast<std::uint16_t>(first_head));
}

std::uint32_t Ring::take(std::uint32_t queue) noexcept {
  ReadyList& ready = ready_list(queue);
  std::uint16_t first_head = 0;
  while (ready.heads.pop(first_head)) {
    std::atomic<std::uint64_t>& owner = slab(first_head).owner;
    std::uint64_t word = owner.load(std::memory_order_relaxed);
    if (!is_of_queue(word, queue) || (word & published) == 0 ||
        !owner.compare_exchange_strong(word, taken, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      continue;
    }
    for (std::uint32_t head = first_head; head != none; head = slab(head).next_parcel) {
      for (std::uint32_t index = head; index != none; index = slab(index).next_slab) {
        slab(index).owner.store(taken, std::memory_order_relaxed);
      }
    }
    return first_head;
  }
  ready.found_empty.fetch_add(1, std::memory_order_relaxed);
  return none;
}

bool Ring::has_published(std::uint32_t queue) const noexcept {
  return !ready_list(queue).heads.empty();
}

std::size_t Ring::bytes_of(std::uint32_t head) const noexcept { return slab(head).bytes; }

std::uint64_t Ring::order_of(std::uint32_t head) const noexcept { return slab(head).order; }

std::uint64_t Ring::sequence_of(std::uint32_t head) const noexcept {
  return slab(head).sequence.load(std::memory_order_relaxed);
}

std::uint32_t Ring::next_of(std::uint32_t head) const noexcept { return slab(head).next_parcel; }

void Ring::copy_out(std::uint32_t head, std::uint8_t* bytes) const noexcept {
  copy_beginning(head, {bytes, bytes_of(head)});
}

void Ring::copy_beginning(std::uint32_t head, std::span<std::uint8_t> bytes) const noexcept {
  for (std::uint32_t index = head; !bytes.empty(); index = slab(index).next_slab) {
    const Slab& source = slab(index);
    const std::size_t piece = std::min(bytes.size(), sizeof(source.data));
    std::memcpy(bytes.data(), source.data, piece);
    bytes = bytes.subspan(piece);
  }
}

void Ring::release(std::uint32_t head) noexcept {
  Slab& first = slab(head);
  first.sequence.store(no_sequence, std::memory_order_release);
  usage_.fetch_add(one_change - slabs_for(first.bytes), std::memory_order_relaxed);
  free_chain(head);
}

bool Ring::is_stored(std::uint32_t head, std::uint64_t sequence) const noexcept {
  if (head >= slabs_) {
    return false;
  }
  const std::uint64_t present = slab(head).sequence.load(std::memory_order_acquire);
  return present != no_sequence &&
         Ticket::short_sequence(present) == Ticket::short_sequence(sequence);
}

std::uint32_t Ring::recover(std::uint32_t queue, IsDead is_dead, void* context) noexcept {
  ReadyList& ready = ready_list(queue);
  const std::uint64_t found_empty = ready.found_empty.load(std::memory_order_relaxed);
  const bool was_emptied = found_empty != ready.condemned_at.load(std::memory_order_relaxed);
  ready.condemned_at.store(found_empty, std::memory_order_relaxed);
  std::uint32_t freed = 0;
  for (std::uint32_t index = 0; index < slabs_; ++index) {
    Slab& left = slab(index);
    std::uint64_t word = left.owner.load(std::memory_order_acquire);
    if (!is_of_queue(word, queue) || !is_dead(process_of(word), context)) {
      continue;
    }
    if ((word & published) != 0 && !((word & condemned) != 0 && was_emptied)) {
      left.owner.store(word | condemned, std::memory_order_release);
      continue;
    }
    left.sequence.store(no_sequence, std::memory_order_release);
    left.owner.store(nobody, std::memory_order_release);
    ++freed;
  }
  usage_.fetch_add(one_change - freed, std::memory_order_relaxed);
  rebuild_free_list();
  return freed;
}

void Ring::rebuild_free_list() noexcept {
  auto& hints = free_list().hints;
  std::uint16_t hint = 0;
  for (std::size_t i = 0; i < free_capacity && hints.pop(hint); ++i) {
  }
  std::uint64_t usage = usage_.load(std::memory_order_relaxed);
  std::uint32_t used = 0;
  for (std::uint32_t index = 0; index < slabs_; ++index) {
    if (slab(index).owner.load(std::memory_order_acquire) == nobody) {
      hints.push(static_cast<std::uint16_t>(index));
    } else {
      ++used;
    }
  }
  usage_.compare_exchange_strong(usage, ((usage / one_change + 1) * one_change) + used,
                                 std::memory_order_relaxed);
}

std::uint32_t Ring::in_use() const noexcept {
  return used_of(usage_.load(std::memory_order_relaxed), slabs_);
}

std::uint32_t Ring::high_water() const noexcept {
  return high_water_.load(std::memory_order_relaxed);
}

}  // namespace eav::core
