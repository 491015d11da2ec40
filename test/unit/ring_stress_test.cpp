// The ring under many producers and two consumers at once: threads, for the thread sanitizer; and
// processes, of which producers are killed at arbitrary moments. Every list of parcels that a
// producer publishes carries who made it and its number, and all of its bytes follow from these.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "eav/core/ring.hpp"
#include "random.hpp"

#include "eav/core/core_only.hpp"

#if defined(__SANITIZE_THREAD__)
#define EAV_SANITIZER_THREAD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EAV_SANITIZER_THREAD 1
#endif
#endif
#ifndef EAV_SANITIZER_THREAD
#define EAV_SANITIZER_THREAD 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define EAV_SANITIZER_ADDRESS 1
#else
#define EAV_SANITIZER_ADDRESS 0
#endif

namespace eav::core {
namespace {

constexpr std::uint32_t slabs = 48;  // few, so that the ring is full again and again
constexpr std::uint32_t producers = 8;
constexpr std::uint32_t consumers = 2;
constexpr std::uint32_t queues = consumers + 1;  // one for each, and one for both
constexpr std::uint32_t shared_queue = consumers;
constexpr std::uint64_t most_lists = std::uint64_t{1} << 19;  // of one producer
constexpr unsigned limit = 120;                               // seconds, for a ring that hangs

// What one list came to. A list has its own record, so nothing here is overwritten.
struct Record {
  std::atomic<std::uint8_t> is_published;  // the producer came back from publish()
  std::atomic<std::uint8_t> times_consumed;
  std::uint64_t checksum;  // by the consumer, before it releases the parcels; not atomic on purpose
};

// All that the processes share beside the ring.
struct Stage {
  std::atomic<bool> producers_stop;
  std::atomic<bool> consumers_stop;
  std::atomic<bool> has_failed;
  char failure[200];
  pthread_rwlock_t recovery;  // of the shared queue: for reading by who takes
  // A producer that is killed is followed by its next generation.
  std::array<std::atomic<std::uint32_t>, producers> generation;
  std::array<std::atomic<std::uint64_t>, producers> begun;  // lists
  std::array<std::atomic<std::uint64_t>, producers> refused;
  std::array<std::array<Record, most_lists>, producers> records;

  [[gnu::format(printf, 2, 3)]] void fail(const char* format, ...) {
    if (!has_failed.exchange(true)) {
      va_list arguments;
      va_start(arguments, format);
      std::vsnprintf(failure, sizeof(failure), format, arguments);
      va_end(arguments);
    }
  }
};

// Memory as a server shares it with its processes.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t size)
      : size_(size),
        memory_(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (memory_ == MAP_FAILED) {
      throw std::bad_alloc();
    }
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { munmap(memory_, size_); }
  void* get() const { return memory_; }

 private:
  std::size_t size_;
  void* memory_;
};

std::uint64_t mix(std::uint64_t bits) {
  bits = (bits ^ bits >> 30) * 0xbf58'476d'1ce4'e5b9;
  bits = (bits ^ bits >> 27) * 0x94d0'49bb'1331'11eb;
  return bits ^ bits >> 31;
}

// At the start of each parcel; words that follow from it fill the rest.
struct Stamp {
  std::uint64_t list;  // number of the producer's list
  std::uint32_t producer;
  std::uint32_t place;    // in the list
  std::uint32_t parcels;  // of the list
  std::uint32_t words;

  std::uint64_t word(std::uint32_t at) const {
    return mix(list << 16 ^ std::uint64_t{producer} << 12 ^ std::uint64_t{place} << 8 ^
               std::uint64_t{at} << 40 ^ parcels);
  }
};

std::uint32_t process_id(std::uint32_t producer, std::uint32_t generation) {
  return (generation << 4 | producer) + 1;
}

bool is_dead(std::uint32_t process, void* context) {
  const std::uint32_t producer = (process - 1) & 0xf;
  return (process - 1) >> 4 < static_cast<Stage*>(context)->generation[producer].load();
}

class Producer {
 public:
  Producer(Ring& ring, Stage& stage, std::uint32_t number)
      : ring_(ring),
        stage_(stage),
        number_(number),
        process_(process_id(number, stage.generation[number])),
        engine_(mix(process_)) {}

  void run(std::uint64_t lists) {
    while (lists-- > 0 && !stage_.producers_stop && !stage_.has_failed &&
           stage_.begun[number_] < most_lists - 1) {
      make_list(++stage_.begun[number_]);
      check_ticket();
    }
  }

 private:
  void make_list(std::uint64_t list) {
    const Ring::Owner owner = {.process = process_, .queue = chance(queues)};
    const std::uint32_t parcels = 1 + (chance(3) == 0 ? chance(4) : 0);
    std::uint32_t stored = 0;
    std::uint64_t sequence = 0;
    for (; stored < parcels; ++stored) {
      const Stamp stamp = {.list = list,
                           .producer = number_,
                           .place = stored,
                           .parcels = parcels,
                           .words = chance(4) == 0 ? chance(3500) : chance(20)};
      const auto parcel = ring_.store(owner, bytes_for(stamp), list);
      if (!parcel) {
        ++stage_.refused[number_];
        break;
      }
      if (stored > 0 && parcel->sequence <= sequence) {
        stage_.fail("producer %u: sequences do not grow", number_);
      }
      sequence = parcel->sequence;
      heads_[stored] = parcel->head;
      if (stored > 0) {
        ring_.append(heads_[stored - 1], parcel->head);
      }
    }
    if (stored < parcels || chance(10) == 0) {  // no room, or the transaction was rolled back
      while (stored > 0) {
        ring_.release(heads_[--stored]);
      }
      sched_yield();
      return;
    }
    ring_.publish(owner.queue, heads_[0]);
    stage_.records[number_][list].is_published = 1;
    ticket_ = {list, sequence, heads_[parcels - 1]};
  }

  // What is no longer in the ring has been consumed, and this process sees what the consumer did.
  void check_ticket() {
    const auto [list, sequence, head] = ticket_;
    if (list == 0 || ring_.is_stored(head, sequence)) {
      return;
    }
    const Record& record = stage_.records[number_][list];
    if (record.checksum != mix(list)) {
      stage_.fail("producer %u: list %lu is neither stored nor consumed", number_, list);
    }
    ticket_ = {};
  }

  std::span<const std::uint8_t> bytes_for(const Stamp& stamp) {
    std::memcpy(bytes_, &stamp, sizeof(stamp));
    for (std::uint32_t i = 0; i < stamp.words; ++i) {
      const std::uint64_t word = stamp.word(i);
      std::memcpy(bytes_ + sizeof(stamp) + i * sizeof(word), &word, sizeof(word));
    }
    return {bytes_, sizeof(stamp) + stamp.words * sizeof(std::uint64_t)};
  }

  std::uint32_t chance(std::uint32_t of) { return static_cast<std::uint32_t>(engine_() % of); }

  struct Ticket {
    std::uint64_t list;
    std::uint64_t sequence;
    std::uint32_t head;
  };

  Ring& ring_;
  Stage& stage_;
  std::uint32_t number_;
  std::uint32_t process_;
  std::mt19937_64 engine_;
  Ticket ticket_{};
  std::uint32_t heads_[4] = {};
  std::uint8_t bytes_[sizeof(Stamp) + 3500 * sizeof(std::uint64_t)] = {};
};

class Consumer {
 public:
  Consumer(Ring& ring, Stage& stage) : ring_(ring), stage_(stage) {}

  // Its own queue and the common one, until it is told to stop and both are empty.
  void run(std::uint32_t number) {
    for (std::uint64_t round = 1; !stage_.has_failed; ++round) {
      const bool stops = stage_.consumers_stop;
      const bool got_own = consume_from(number);
      pthread_rwlock_rdlock(&stage_.recovery);
      const std::uint32_t head = ring_.take(shared_queue);
      pthread_rwlock_unlock(&stage_.recovery);
      if (head != Ring::none) {
        consume(shared_queue, head);
      }
      if (round % 64 == 0) {
        ring_.recover(number, is_dead, &stage_);
      }
      if (round % 128 == (number == 0 ? 0 : 64)) {
        pthread_rwlock_wrlock(&stage_.recovery);
        ring_.recover(shared_queue, is_dead, &stage_);
        pthread_rwlock_unlock(&stage_.recovery);
      }
      if (!got_own && head == Ring::none) {
        if (stops) {
          return;
        }
        sched_yield();
      }
    }
  }

  bool consume_from(std::uint32_t queue) {
    const std::uint32_t head = ring_.take(queue);
    if (head != Ring::none) {
      consume(queue, head);
    }
    return head != Ring::none;
  }

 private:
  void consume(std::uint32_t queue, std::uint32_t first) {
    Stamp expected{};
    for (std::uint32_t head = first; head != Ring::none; head = ring_.next_of(head)) {
      const Stamp stamp = read(head);
      if (head == first) {
        expected = stamp;
        expected.place = 0;
      }
      expected.words = stamp.words;
      if (std::memcmp(&stamp, &expected, sizeof(stamp)) != 0 || stamp.place >= stamp.parcels) {
        return stage_.fail("lists are mixed: parcel %u of %u of list %lu of producer %u",
                           stamp.place, stamp.parcels, stamp.list, stamp.producer);
      }
      ++expected.place;
    }
    if (expected.place != expected.parcels) {
      return stage_.fail("producer %u: list %lu ends after %u parcels of %u", expected.producer,
                         expected.list, expected.place, expected.parcels);
    }
    Record& record = stage_.records[expected.producer][expected.list];
    if (record.times_consumed.fetch_add(1, std::memory_order_relaxed) != 0) {
      return stage_.fail("producer %u: list %lu came twice", expected.producer, expected.list);
    }
    record.checksum = mix(expected.list);
    std::uint64_t& latest = latest_[expected.producer][queue];
    if (expected.list <= latest) {
      return stage_.fail("producer %u: list %lu came after %lu", expected.producer, expected.list,
                         latest);
    }
    latest = expected.list;
    for (std::uint32_t head = first; head != Ring::none;) {
      const std::uint32_t next = ring_.next_of(head);
      const std::uint64_t sequence = ring_.sequence_of(head);
      if (!ring_.is_stored(head, sequence)) {
        return stage_.fail("slab %u: a parcel is lost", head);
      }
      ring_.release(head);
      if (ring_.is_stored(head, sequence)) {
        return stage_.fail("slab %u: a parcel that was released is stored", head);
      }
      head = next;
    }
  }

  Stamp read(std::uint32_t head) {
    Stamp stamp{};
    const std::size_t size = ring_.bytes_of(head);
    if (size < sizeof(stamp) || size > sizeof(bytes_)) {
      stage_.fail("slab %u: a parcel of %zu bytes", head, size);
      return stamp;
    }
    ring_.copy_out(head, bytes_);
    std::memcpy(&stamp, bytes_, sizeof(stamp));
    bool is_right = size == sizeof(stamp) + stamp.words * sizeof(std::uint64_t) &&
                    stamp.producer < producers && stamp.list < most_lists &&
                    ring_.order_of(head) == stamp.list;
    for (std::uint32_t i = 0; is_right && i < stamp.words; ++i) {
      const std::uint64_t word = stamp.word(i);
      is_right = std::memcmp(bytes_ + sizeof(stamp) + i * sizeof(word), &word, sizeof(word)) == 0;
    }
    if (!is_right) {
      stage_.fail("slab %u: the bytes are not those of a parcel", head);
      return {};
    }
    return stamp;
  }

  Ring& ring_;
  Stage& stage_;
  std::uint64_t latest_[producers][queues] = {};
  std::uint8_t bytes_[sizeof(Stamp) + 3500 * sizeof(std::uint64_t)] = {};
};

// Every slab can be stored into once.
void check_slabs(Ring& ring) {
  EXPECT_EQ(ring.in_use(), 0U);
  EXPECT_LE(ring.high_water(), ring.slabs());
  std::vector<bool> seen(ring.slabs());
  for (std::uint32_t i = 0; i < ring.slabs(); ++i) {
    const auto parcel = ring.store({.process = 999, .queue = 0}, {}, 0);
    ASSERT_TRUE(parcel) << "after " << i << " slabs";
    ASSERT_FALSE(seen[parcel->head]);
    seen[parcel->head] = true;
  }
  EXPECT_FALSE(ring.store({.process = 999, .queue = 0}, {}, 0));
}

class RingStress : public testing::Test {
 protected:
  RingStress()
      : ring_memory_(Ring::size_for(slabs, queues)),
        stage_memory_(sizeof(Stage)),
        ring_(*Ring::create(ring_memory_.get(), slabs, queues, 1)),
        stage_(*static_cast<Stage*>(stage_memory_.get())) {
    alarm(limit);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(&stage_.recovery, &attributes);
    pthread_rwlockattr_destroy(&attributes);
  }
  ~RingStress() override {
    pthread_rwlock_destroy(&stage_.recovery);
    alarm(0);
  }

  // Each list that a producer knows to be published has been consumed, and what it may not have
  // come to note down beside that is at most one list for each kill.
  void check_records(std::uint64_t kills) {
    std::uint64_t published = 0;
    std::uint64_t consumed = 0;
    for (std::uint32_t producer = 0; producer < producers; ++producer) {
      const std::uint64_t begun = stage_.begun[producer];
      for (std::uint64_t list = 1; list <= begun; ++list) {
        const Record& record = stage_.records[producer][list];
        ASSERT_LE(record.is_published, record.times_consumed) << producer << ": " << list;
        published += record.is_published;
        consumed += record.times_consumed;
      }
    }
    EXPECT_LE(consumed - published, kills);
    EXPECT_GT(published, 0U);
    std::uint64_t refused = 0;
    for (const auto& count : stage_.refused) {
      refused += count;
    }
    EXPECT_GT(refused, 0U) << "the ring was never full";
    std::printf("%lu lists published and noted, %lu more consumed, %lu kills, %lu refusals\n",
                published, consumed - published, kills, refused);
  }

  SharedMemory ring_memory_;
  SharedMemory stage_memory_;
  Ring& ring_;
  Stage& stage_;
};

TEST_F(RingStress, Threads) {
  const std::uint64_t lists = EAV_SANITIZER_THREAD || EAV_SANITIZER_ADDRESS ? 20000 : 30000;
  std::vector<std::thread> consuming;
  for (std::uint32_t number = 0; number < consumers; ++number) {
    consuming.emplace_back([&, number] {
      // Nobody dies here, so nothing is recovered; but the free list is rebuilt all the time.
      Consumer(ring_, stage_).run(number);
    });
  }
  std::vector<std::thread> producing;
  for (std::uint32_t number = 0; number < producers; ++number) {
    producing.emplace_back([&, number] { Producer(ring_, stage_, number).run(lists); });
  }
  for (std::thread& thread : producing) {
    thread.join();
  }
  stage_.consumers_stop = true;
  for (std::thread& thread : consuming) {
    thread.join();
  }
  ASSERT_FALSE(stage_.has_failed) << stage_.failure;
  check_records(0);
  check_slabs(ring_);
}

// Producers alone, on so few slabs that each is wanted by others as soon as it is free. Nothing
// repairs the free list here.
TEST_F(RingStress, ClaimsOfFewSlabs) {
  constexpr std::uint32_t few = 6;
  constexpr int rounds = EAV_SANITIZER_THREAD || EAV_SANITIZER_ADDRESS ? 20000 : 100000;
  const SharedMemory memory(Ring::size_for(few, 1));
  Ring& ring = *Ring::create(memory.get(), few, 1, 1);
  std::atomic<std::uint64_t> stored = 0;
  std::atomic<std::uint64_t> torn = 0;
  std::vector<std::thread> producing;
  for (std::uint32_t number = 1; number <= producers; ++number) {
    producing.emplace_back([&, number] {
      std::vector<std::uint8_t> bytes(3 * std::size_t{Ring::slab_bytes});
      std::vector<std::uint8_t> copy(bytes.size());
      for (int round = 0; round < rounds; ++round) {
        const std::size_t size = mix(round * producers + number) % 4 * (Ring::slab_bytes - 64);
        std::memset(bytes.data(), static_cast<int>(number + round % 16 * producers), size);
        const auto parcel = ring.store({.process = number, .queue = 0}, {bytes.data(), size}, 0);
        if (parcel) {
          ++stored;
          ring.copy_out(parcel->head, copy.data());
          if (ring.bytes_of(parcel->head) != size ||
              std::memcmp(copy.data(), bytes.data(), size) != 0) {
            ++torn;
          }
          ring.release(parcel->head);
        }
      }
    });
  }
  for (std::thread& thread : producing) {
    thread.join();
  }
  EXPECT_EQ(torn, 0U);
  EXPECT_GT(stored, 0U);
  check_slabs(ring);
}

// Children that end with the test, whatever becomes of it.
class Children {
 public:
  Children() = default;
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;
  ~Children() {
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      kill(i);
    }
  }

  template <typename Body>
  void start(std::size_t place, const Body& body) {
    processes_.resize(std::max(processes_.size(), place + 1), -1);
    processes_[place] = fork();
    if (processes_[place] == 0) {
      alarm(limit / 2);
      body();
      _exit(0);
    }
    ASSERT_GT(processes_[place], 0) << std::strerror(errno);
  }
  // Both return when the process is gone.
  void kill(std::size_t place) {
    if (processes_[place] > 0) {
      ::kill(processes_[place], SIGKILL);
      wait(place);
    }
  }
  // Whether it ended by itself, and well.
  bool wait(std::size_t place) {
    int status = -1;
    if (processes_[place] > 0) {
      waitpid(processes_[place], &status, 0);
      processes_[place] = -1;
    }
    return status == 0;
  }

 private:
  std::vector<pid_t> processes_;
};

TEST_F(RingStress, ProcessesThatAreKilled) {
  if (EAV_SANITIZER_THREAD) {
    GTEST_SKIP() << "the thread sanitizer does not see other processes";
  }
  EAV_RANDOM(random);
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(EAV_SANITIZER_ADDRESS ? 3 : 5);
  Children children;
  for (std::uint32_t number = 0; number < consumers; ++number) {
    children.start(producers + number, [&] { Consumer(ring_, stage_).run(number); });
  }
  const auto start_producer = [&](std::uint32_t number) {
    children.start(number, [&] { Producer(ring_, stage_, number).run(most_lists); });
  };
  for (std::uint32_t number = 0; number < producers; ++number) {
    start_producer(number);
  }

  std::uint64_t kills = 0;
  while (Clock::now() < end && !stage_.has_failed) {
    const auto victim = static_cast<std::uint32_t>(random.between(0, producers - 1));
    const std::uint64_t enough =
        stage_.begun[victim] + static_cast<std::uint64_t>(random.between(0, 30));
    while (stage_.begun[victim] < std::min(enough, most_lists - 1) && Clock::now() < end &&
           !stage_.has_failed) {
      sched_yield();
    }
    children.kill(victim);
    ++kills;
    ++stage_.generation[victim];
    start_producer(victim);
  }
  stage_.producers_stop = true;
  for (std::uint32_t number = 0; number < producers; ++number) {
    EXPECT_TRUE(children.wait(number)) << "producer " << number;
    ++stage_.generation[number];
  }
  stage_.consumers_stop = true;
  for (std::uint32_t number = 0; number < consumers; ++number) {
    EXPECT_TRUE(children.wait(producers + number)) << "consumer " << number;
  }
  ASSERT_FALSE(stage_.has_failed) << stage_.failure;
  for (std::uint32_t queue = 0; queue < queues; ++queue) {
    ring_.recover(queue, is_dead, &stage_);
    EXPECT_EQ(ring_.take(queue), Ring::none);
    ring_.recover(queue, is_dead, &stage_);
  }
  check_records(kills);
  check_slabs(ring_);
}

}  // namespace
}  // namespace eav::core
