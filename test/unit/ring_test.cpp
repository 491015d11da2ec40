#include "eav/core/ring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "eav/core/error.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

namespace eav::core {
namespace {

constexpr std::size_t room = Ring::slab_bytes - 64;  // for the bytes of a parcel in one slab
constexpr std::uint64_t sequence_mask = (std::uint64_t{1} << 36) - 1;

// Of an owner word, as ring.cpp describes it.
constexpr std::uint64_t free_word = 0;
constexpr std::uint64_t taken_word = std::uint64_t{1} << 63;
constexpr std::uint64_t published_bit = std::uint64_t{1} << 62;

// A ring in memory of the test.
class TestRing {
 public:
  TestRing(std::uint32_t slabs, std::uint32_t queues, std::uint64_t first_sequence = 1)
      : size_(Ring::size_for(slabs, queues)),
        memory_(std::aligned_alloc(64, size_)),
        ring_(Ring::create(memory_.get(), slabs, queues, first_sequence)) {}

  Ring* operator->() const { return ring_; }
  void* memory() const { return memory_.get(); }
  std::size_t size() const { return size_; }

  // The word that decides whose the slab is, to leave behind what a killed process would.
  std::atomic<std::uint64_t>& owner_word(std::uint32_t slab) const {
    auto* const end = static_cast<std::uint8_t*>(memory_.get()) + size_;
    const std::size_t before_end = std::size_t{ring_->slabs() - slab} * Ring::slab_bytes;
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(end - before_end);
  }

  std::vector<std::uint8_t> bytes_of(std::uint32_t head) const {
    std::vector<std::uint8_t> bytes(ring_->bytes_of(head));
    ring_->copy_out(head, bytes.data());
    return bytes;
  }

  // Stores parcels of one slab until there is no room, and gives them back.
  std::uint32_t free_slabs() const {
    std::set<std::uint32_t> heads;
    while (const auto parcel = ring_->store({.process = 999, .queue = 0}, {}, 0)) {
      EXPECT_TRUE(heads.insert(parcel->head).second) << "slab " << parcel->head << " twice";
    }
    for (const std::uint32_t head : heads) {
      ring_->release(head);
    }
    return static_cast<std::uint32_t>(heads.size());
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::size_t size_;
  std::unique_ptr<void, Free> memory_;
  Ring* ring_;
};

std::vector<std::uint8_t> some_bytes(std::size_t count, std::uint8_t first = 0) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::uint8_t>(first + i + i / 251);
  }
  return bytes;
}

using Dead = std::set<std::uint32_t>;
std::uint32_t recover(const TestRing& ring, std::uint32_t queue, Dead dead) {
  return ring->recover(
      queue,
      [](std::uint32_t process, void* context) {
        return static_cast<Dead*>(context)->contains(process);
      },
      &dead);
}

constexpr Ring::Owner alice = {.process = 11, .queue = 0};
constexpr Ring::Owner bob = {.process = 12, .queue = 0};
constexpr Ring::Owner carol = {.process = 13, .queue = 1};

TEST(Ring, CountsSlabs) {
  EXPECT_EQ(Ring::slabs_for(0), 1U);
  EXPECT_EQ(Ring::slabs_for(1), 1U);
  EXPECT_EQ(Ring::slabs_for(room), 1U);
  EXPECT_EQ(Ring::slabs_for(room + 1), 2U);
  EXPECT_EQ(Ring::slabs_for(2 * room), 2U);
  EXPECT_EQ(Ring::slabs_for(1000 * room + 1), 1001U);
  EXPECT_EQ(Ring::slabs_for(SIZE_MAX), UINT32_MAX) << "more than any ring has";
}

TEST(Ring, KeepsBytes) {
  const TestRing ring(4, 1);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, room - 1, room, room + 1, 2 * room,
                                 3 * room + 7, 4 * room}) {
    const std::vector<std::uint8_t> bytes = some_bytes(size);
    const auto parcel = ring->store(alice, bytes, 5);
    ASSERT_TRUE(parcel) << size;
    EXPECT_EQ(ring->bytes_of(parcel->head), size);
    EXPECT_EQ(ring.bytes_of(parcel->head), bytes) << size;
    EXPECT_EQ(ring->in_use(), Ring::slabs_for(size));
    ring->release(parcel->head);
    EXPECT_EQ(ring->in_use(), 0U);
  }
  EXPECT_EQ(ring->high_water(), 4U);
  EXPECT_FALSE(ring->store(alice, some_bytes(4 * room + 1), 5));
  EXPECT_EQ(ring.free_slabs(), 4U);
}

TEST(Ring, StoresAllOrNothing) {
  const TestRing ring(4, 1);
  const auto first = ring->store(alice, some_bytes(3 * room), 0);
  ASSERT_TRUE(first);
  EXPECT_FALSE(ring->store(bob, some_bytes(2 * room), 0));
  EXPECT_EQ(ring->in_use(), 3U);
  EXPECT_EQ(ring->high_water(), 3U) << "what was refused was never in use";
  const auto second = ring->store(bob, some_bytes(room, 7), 0);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->sequence, first->sequence + 1) << "a refusal takes no number";
  EXPECT_FALSE(ring->store(bob, {}, 0));
  EXPECT_EQ(ring.bytes_of(first->head), some_bytes(3 * room));
  EXPECT_EQ(ring.bytes_of(second->head), some_bytes(room, 7));
}

// The figure in_use() says that there is room, but others were faster.
TEST(Ring, GivesBackWhatIsTooLittle) {
  const TestRing ring(4, 1);
  ring.owner_word(2) = taken_word;
  ring.owner_word(3) = taken_word;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(ring->store(alice, some_bytes(3 * room), 0));
    EXPECT_EQ(ring->in_use(), 0U);
  }
  EXPECT_EQ(ring.free_slabs(), 2U);
}

TEST(Ring, NumbersParcels) {
  const TestRing ring(8, 1, 1'000'000'007);
  std::uint64_t expected = 1'000'000'007;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const auto parcel = ring->store(alice, some_bytes(i * 100), 3 * i);
    ASSERT_TRUE(parcel);
    EXPECT_EQ(parcel->sequence, expected++);
    EXPECT_EQ(ring->sequence_of(parcel->head), parcel->sequence);
    EXPECT_EQ(ring->order_of(parcel->head), 3 * i);
    EXPECT_EQ(ring->next_of(parcel->head), Ring::none);
    ring->release(parcel->head);
  }
}

TEST(Ring, HandsListsOverInOrder) {
  const TestRing ring(32, 1);
  EXPECT_FALSE(ring->has_published(0));
  EXPECT_EQ(ring->take(0), Ring::none);
  std::vector<std::vector<Ring::Parcel>> lists;
  for (std::size_t count = 1; count <= 4; ++count) {
    std::vector<Ring::Parcel> list;
    for (std::size_t i = 0; i < count; ++i) {
      list.push_back(
          ring->store(count % 2 == 0 ? alice : bob, some_bytes(i * room), count).value());
      if (i > 0) {
        ring->append(list[i - 1].head, list[i].head);
      }
    }
    ring->publish(0, list.front().head);
    lists.push_back(list);
  }
  EXPECT_TRUE(ring->has_published(0));
  for (const std::vector<Ring::Parcel>& list : lists) {
    std::uint32_t head = ring->take(0);
    for (std::size_t i = 0; i < list.size(); ++i) {
      ASSERT_EQ(head, list[i].head);
      EXPECT_EQ(ring->sequence_of(head), list[i].sequence);
      EXPECT_EQ(ring->order_of(head), list.size());
      EXPECT_EQ(ring.bytes_of(head), some_bytes(i * room));
      const std::uint32_t next = ring->next_of(head);
      ring->release(head);
      head = next;
    }
    EXPECT_EQ(head, Ring::none);
  }
  EXPECT_FALSE(ring->has_published(0));
  EXPECT_EQ(ring->take(0), Ring::none);
  EXPECT_EQ(ring->in_use(), 0U);
  EXPECT_EQ(ring.free_slabs(), 32U);
}

TEST(Ring, KeepsQueuesApart) {
  const TestRing ring(8, 3);
  const auto first = ring->store(carol, {}, 0);
  const auto second = ring->store(alice, {}, 0);
  const auto third = ring->store({.process = 11, .queue = 2}, {}, 0);
  ring->publish(1, first->head);
  ring->publish(0, second->head);
  ring->publish(2, third->head);
  EXPECT_EQ(ring->take(0), second->head);
  EXPECT_EQ(ring->take(0), Ring::none);
  EXPECT_TRUE(ring->has_published(1));
  EXPECT_EQ(ring->take(2), third->head);
  EXPECT_EQ(ring->take(2), Ring::none);
  EXPECT_EQ(ring->take(1), first->head);
  EXPECT_EQ(ring->take(1), Ring::none);
}

TEST(Ring, TakesBackWhatIsReleased) {
  EAV_RANDOM(random);
  const TestRing ring(16, 1);
  std::uint32_t most = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint32_t> heads;
    std::uint32_t used = 0;
    while (random.chance(0.8)) {
      const auto size = static_cast<std::size_t>(random.between(0, 4 * room));
      const auto parcel = ring->store(alice, some_bytes(size), 0);
      ASSERT_EQ(parcel.has_value(), used + Ring::slabs_for(size) <= 16) << round;
      if (parcel) {
        heads.push_back(parcel->head);
        used += Ring::slabs_for(size);
        most = std::max(most, used);
      }
    }
    ASSERT_EQ(ring->in_use(), used);
    ASSERT_EQ(ring->high_water(), most);
    for (const std::uint32_t head : heads) {
      ring->release(head);
    }
    ASSERT_EQ(ring->in_use(), 0U);
  }
}

TEST(Ring, KnowsWhatIsStored) {
  const TestRing ring(4, 1, sequence_mask - 1);
  const auto parcel = ring->store(alice, some_bytes(2 * room), 0);
  const auto [head, sequence] = *parcel;
  EXPECT_TRUE(ring->is_stored(head, sequence));
  EXPECT_FALSE(ring->is_stored(head, sequence + 1));
  EXPECT_FALSE(ring->is_stored(head, sequence - 1));
  EXPECT_FALSE(ring->is_stored(head, UINT64_MAX)) << "what a free slab holds is no number";
  for (std::uint32_t slab = 0; slab < 4; ++slab) {
    EXPECT_EQ(ring->is_stored(slab, sequence), slab == head);
    EXPECT_FALSE(ring->is_stored(slab, UINT64_MAX));
  }
  for (const std::uint32_t slab : {4U, 5U, 16383U, Ring::none}) {
    EXPECT_FALSE(ring->is_stored(slab, sequence));
  }
  ring->publish(0, head);
  EXPECT_TRUE(ring->is_stored(head, sequence));
  ASSERT_EQ(ring->take(0), head);
  EXPECT_TRUE(ring->is_stored(head, sequence));
  ring->release(head);
  EXPECT_FALSE(ring->is_stored(head, sequence));
}

TEST(Ring, ComparesThirtySixBitsOfASequence) {
  const TestRing ring(1, 1, sequence_mask);
  auto parcel = ring->store(alice, {}, 0);
  EXPECT_EQ(parcel->sequence, sequence_mask);
  EXPECT_TRUE(ring->is_stored(0, sequence_mask));
  EXPECT_TRUE(ring->is_stored(0, UINT64_MAX)) << "its low bits";
  ring->release(0);
  EXPECT_FALSE(ring->is_stored(0, UINT64_MAX));
  EXPECT_FALSE(ring->is_stored(0, sequence_mask));
  parcel = ring->store(alice, {}, 0);
  EXPECT_EQ(parcel->sequence, sequence_mask + 1);
  EXPECT_TRUE(ring->is_stored(0, 0));
  EXPECT_TRUE(ring->is_stored(0, sequence_mask + 1));
  EXPECT_FALSE(ring->is_stored(0, sequence_mask)) << "the slab is another parcel's";
}

// Every parcel in one slab, each published on its own: as long as a queue can become.
TEST(Ring, HoldsAsMuchAsItMay) {
  const TestRing ring(Ring::max_slabs, 2);
  EXPECT_EQ(ring->slabs(), Ring::max_slabs);
  EXPECT_EQ(ring->queues(), 2U);
  for (const std::uint32_t queue : {0U, 1U}) {
    std::vector<std::uint32_t> heads;
    while (const auto parcel = ring->store({.process = 11, .queue = queue}, {}, 0)) {
      heads.push_back(parcel->head);
    }
    ASSERT_EQ(heads.size(), Ring::max_slabs);
    EXPECT_EQ(ring->in_use(), Ring::max_slabs);
    for (const std::uint32_t head : heads) {
      ring->publish(queue, head);
    }
    for (const std::uint32_t head : heads) {
      ASSERT_EQ(ring->take(queue), head);
      ring->release(head);
    }
    EXPECT_EQ(ring->take(queue), Ring::none);
    EXPECT_EQ(ring->in_use(), 0U);
  }
  std::vector<std::uint8_t> bytes(Ring::max_slabs * room);
  for (std::size_t i = 0; i < bytes.size(); i += 1009) {
    bytes[i] = static_cast<std::uint8_t>(i);
  }
  const auto parcel = ring->store(alice, bytes, 0);
  ASSERT_TRUE(parcel);
  EXPECT_TRUE(ring.bytes_of(parcel->head) == bytes);
  EXPECT_EQ(recover(ring, 0, {11}), Ring::max_slabs);
  EXPECT_EQ(ring.free_slabs(), Ring::max_slabs);
}

std::string attach_error(void* memory) {
  try {
    Ring::attach(memory);
  } catch (const Error& error) {
    return error.sqlstate + std::string(" ") + error.message;
  }
  return "";
}

TEST(Ring, IsFoundInItsMemory) {
  const TestRing ring(4, 2);
  const auto parcel = ring->store(alice, some_bytes(100), 3);
  Ring* const attached = Ring::attach(ring.memory());
  EXPECT_EQ(attached->slabs(), 4U);
  EXPECT_EQ(attached->queues(), 2U);
  EXPECT_TRUE(attached->is_stored(parcel->head, parcel->sequence));
}

TEST(Ring, IsNotFoundInOtherMemory) {
  EAV_RANDOM(random);
  const TestRing ring(4, 2);
  EXPECT_EQ(attach_error(ring.memory()), "");
  alignas(64) std::uint64_t words[64] = {};
  EXPECT_EQ(attach_error(words), "XX001 there is no ring in this memory");
  for (std::uint64_t& word : words) {
    word = random.bits();
  }
  EXPECT_EQ(attach_error(words), "XX001 there is no ring in this memory");
  std::memcpy(words, ring.memory(), sizeof(words));
  EXPECT_EQ(attach_error(words), "");
  std::memcpy(&words[1], ring.memory(), sizeof(words) - 8);
  EXPECT_EQ(attach_error(&words[1]), "XX001 there is no ring in this memory") << "not aligned";

  // The magic number, the size, the numbers of slabs and queues.
  for (std::size_t byte = 0; byte < 24; ++byte) {
    std::memcpy(words, ring.memory(), sizeof(words));
    reinterpret_cast<std::uint8_t*>(words)[byte] ^= 1;
    EXPECT_EQ(attach_error(words), byte < 8 ? "XX001 there is no ring in this memory"
                                            : "XX001 the ring in this memory has another layout")
        << byte;
  }
}

TEST(Ring, RecoversWhatTheDeadLeft) {
  const TestRing ring(16, 2);
  const auto of_alice = ring->store(alice, some_bytes(3 * room), 0);
  const auto of_bob = ring->store(bob, some_bytes(2 * room, 9), 0);
  const auto of_carol = ring->store(carol, some_bytes(room), 0);
  const auto elsewhere = ring->store({.process = alice.process, .queue = 1}, {}, 0);
  EXPECT_EQ(recover(ring, 0, {}), 0U);
  EXPECT_EQ(ring->in_use(), 7U);

  EXPECT_EQ(recover(ring, 0, {alice.process, carol.process}), 3U);
  EXPECT_FALSE(ring->is_stored(of_alice->head, of_alice->sequence));
  EXPECT_TRUE(ring->is_stored(of_bob->head, of_bob->sequence));
  EXPECT_TRUE(ring->is_stored(of_carol->head, of_carol->sequence)) << "of another queue";
  EXPECT_TRUE(ring->is_stored(elsewhere->head, elsewhere->sequence)) << "of another queue";
  EXPECT_EQ(ring->in_use(), 4U);
  EXPECT_EQ(ring.free_slabs(), 12U);
  EXPECT_EQ(ring.bytes_of(of_bob->head), some_bytes(2 * room, 9));
  EXPECT_EQ(recover(ring, 0, {alice.process, carol.process}), 0U) << "nothing is left";

  EXPECT_EQ(recover(ring, 1, {alice.process, carol.process}), 2U);
  EXPECT_EQ(ring->in_use(), 2U);
  EXPECT_EQ(recover(ring, 0, {bob.process}), 2U);
  EXPECT_EQ(ring->in_use(), 0U);
  EXPECT_EQ(ring.free_slabs(), 16U);
}

TEST(Ring, DoesNotRecoverWhatIsPublished) {
  const TestRing ring(8, 1);
  const auto first = ring->store(alice, some_bytes(2 * room), 0);
  const auto second = ring->store(alice, some_bytes(room + 1, 5), 0);
  ring->append(first->head, second->head);
  ring->publish(0, first->head);
  const auto unpublished = ring->store(alice, {}, 0);
  EXPECT_EQ(recover(ring, 0, {alice.process}), 1U);
  EXPECT_FALSE(ring->is_stored(unpublished->head, unpublished->sequence));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(recover(ring, 0, {alice.process}), 0U);
  }
  EXPECT_TRUE(ring->is_stored(first->head, first->sequence));
  ASSERT_EQ(ring->take(0), first->head);
  EXPECT_EQ(ring->take(0), Ring::none);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(recover(ring, 0, {alice.process}), 0U) << "it belongs to who has taken it";
  }
  EXPECT_EQ(ring.bytes_of(first->head), some_bytes(2 * room));
  EXPECT_EQ(ring.bytes_of(second->head), some_bytes(room + 1, 5));
  ring->release(first->head);
  ring->release(second->head);
  EXPECT_EQ(ring->in_use(), 0U);
  EXPECT_EQ(ring.free_slabs(), 8U);
}

// Marked as published, and never pushed; or marked in part.
TEST(Ring, RecoversFromADeathInsidePublish) {
  const TestRing ring(8, 1);
  const auto marked = ring->store(alice, some_bytes(3 * room), 0);
  for (std::uint32_t slab = 0; slab < 8; ++slab) {
    if (ring.owner_word(slab) != free_word) {
      ring.owner_word(slab) |= published_bit;
    }
  }
  const auto marked_in_part = ring->store(alice, some_bytes(3 * room), 0);
  for (std::uint32_t slab = 0; slab < 8; ++slab) {
    if (ring.owner_word(slab) == alice.process && slab != marked_in_part->head) {
      ring.owner_word(slab) |= published_bit;
      break;
    }
  }
  ASSERT_EQ(ring->take(0), Ring::none);
  EXPECT_EQ(recover(ring, 0, {alice.process}), 2U) << "what cannot be in the queue";
  EXPECT_EQ(recover(ring, 0, {alice.process}), 0U) << "the rest might be in the queue";
  EXPECT_TRUE(ring->is_stored(marked->head, marked->sequence));
  const auto of_bob = ring->store(bob, {}, 0);
  ring->publish(0, of_bob->head);
  ASSERT_EQ(ring->take(0), of_bob->head);
  EXPECT_EQ(recover(ring, 0, {alice.process}), 0U) << "the queue was not found empty";
  EXPECT_EQ(ring->take(0), Ring::none);
  EXPECT_EQ(recover(ring, 0, {alice.process}), 4U) << "now it was";
  EXPECT_FALSE(ring->is_stored(marked->head, marked->sequence));
  EXPECT_EQ(ring->in_use(), 1U);
  EXPECT_EQ(ring.free_slabs(), 7U);
}

TEST(Ring, RecoversLostHints) {
  const TestRing ring(8, 1);
  // These had been taken when their hints came up, and nobody gave new ones.
  for (const std::uint32_t slab : {1U, 4U, 5U}) {
    ring.owner_word(slab) = taken_word;
  }
  EXPECT_EQ(ring.free_slabs(), 5U);
  for (const std::uint32_t slab : {1U, 4U, 5U}) {
    ring.owner_word(slab) = free_word;
  }
  EXPECT_EQ(ring.free_slabs(), 5U);
  EXPECT_EQ(recover(ring, 0, {}), 0U);
  EXPECT_EQ(ring.free_slabs(), 8U);
}

// The figure is that of the slabs again, whatever those that were killed have left uncounted.
TEST(Ring, RecoversTheCount) {
  const TestRing ring(8, 1);
  const auto parcel = ring->store(alice, some_bytes(2 * room), 0);
  for (std::uint32_t slab = 0; slab < 8; ++slab) {
    if (ring.owner_word(slab) == free_word) {
      ring.owner_word(slab) = bob.process;
      break;
    }
  }
  EXPECT_EQ(ring->in_use(), 2U);
  EXPECT_EQ(recover(ring, 0, {}), 0U);
  EXPECT_EQ(ring->in_use(), 3U);
  EXPECT_EQ(recover(ring, 0, {bob.process}), 1U);
  EXPECT_EQ(ring->in_use(), 2U);
  ring->release(parcel->head);
  EXPECT_EQ(ring->in_use(), 0U);
  EXPECT_EQ(ring.free_slabs(), 8U);
}

// Twice the hints for a slab are harmless.
TEST(Ring, GivesASlabOnceWhateverTheHints) {
  const TestRing ring(8, 1);
  const auto parcel = ring->store(alice, some_bytes(8 * room), 0);
  ASSERT_TRUE(parcel);
  for (std::uint32_t slab = 0; slab < 8; ++slab) {
    ring.owner_word(slab) = free_word;
  }
  recover(ring, 0, {});         // a hint for each
  ring->release(parcel->head);  // and a second one
  EXPECT_EQ(ring.free_slabs(), 8U);
}

// A head that comes out of the queue again, or too early, is not taken.
TEST(Ring, DropsStaleHeads) {
  const TestRing ring(4, 1);
  const auto first = ring->store(alice, {}, 1);
  ring->publish(0, first->head);
  ring.owner_word(first->head) = free_word;
  EXPECT_EQ(ring->take(0), Ring::none);
  EXPECT_EQ(ring.owner_word(first->head), free_word);

  ring.owner_word(first->head) = alice.process;
  ring->publish(0, first->head);
  ring.owner_word(first->head) = bob.process;
  EXPECT_EQ(ring->take(0), Ring::none) << "bob has not published it";
  EXPECT_EQ(ring.owner_word(first->head), bob.process);

  ring->publish(0, first->head);
  ring->publish(0, first->head);
  EXPECT_EQ(ring->take(0), first->head);
  EXPECT_EQ(ring->take(0), Ring::none) << "once";
}

}  // namespace
}  // namespace eav::core
