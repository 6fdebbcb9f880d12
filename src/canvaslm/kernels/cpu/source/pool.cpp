#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace canvaslm {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(200);  // the next operation comes within that

inline void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits for a short while, then lets others have the core: the thread waited for may need it.
template <class Ready>
bool spin(Ready ready, Clock::duration limit) {
    constexpr int kBurst = 64, kQuickBursts = 8;
    Clock::time_point end{};
    for (int burst = 0;; ++burst) {
        for (int i = 0; i < kBurst; ++i) {
            if (ready()) return true;
            pause();
        }
        if (burst < kQuickBursts) continue;
        if (end == Clock::time_point{}) end = Clock::now() + limit;
        if (Clock::now() > end) return false;
        sched_yield();
    }
}

// The next core of those that this process may use, the first being its caller's.
void pin(int thread) {
#if defined(__linux__)
    static const bool wanted = [] {
        const char* value = std::getenv("CANVASLM_PIN");
        return value && std::strcmp(value, "1") == 0;
    }();
    cpu_set_t all, one;
    if (!wanted || sched_getaffinity(0, sizeof all, &all) != 0) return;
    int left = thread % CPU_COUNT(&all), core = 0;
    while (!CPU_ISSET(core, &all) || left-- > 0) ++core;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
#else
    (void)thread;
#endif
}

thread_local bool inside = false;  // at work for some caller

// A round is one operation's work. Its ticket is its number and how many threads it wants; nobody
// is wanted once it is closed. A thread counts itself in and then looks at the ticket again; the
// caller closes the ticket and then looks at the count: so either the thread finds it closed, or
// the caller waits for it (all of it sequentially consistent, or both could miss the other).
struct Pool {
    std::mutex turn;  // of the callers
    int started = 0;

    Work work = nullptr;
    void* context = nullptr;
    int64_t items = 0;

    alignas(64) std::atomic<uint64_t> ticket{0};
    alignas(64) std::atomic<int64_t> next{0};
    alignas(64) std::atomic<int> entered{0};

    alignas(64) std::mutex sleep;
    std::condition_variable wake;
    std::atomic<int> sleeping{0};

    static constexpr int kWantedBits = 16;
    static int wanted(uint64_t ticket) { return ticket & ((1 << kWantedBits) - 1); }

    void take(int thread) {
        for (int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < items;)
            work(context, item, thread);
    }

    void await(int thread, uint64_t seen) {
        auto called = [&] {
            uint64_t now = ticket.load();
            return now != seen && thread < wanted(now);
        };
        if (spin(called, kSpin)) return;
        std::unique_lock<std::mutex> lock(sleep);
        sleeping.fetch_add(1);
        wake.wait(lock, called);
        sleeping.fetch_sub(1);
    }

    void serve(int thread) noexcept {
        inside = true;
        pin(thread);
        for (uint64_t seen = 0;;) {
            await(thread, seen);
            entered.fetch_add(1);
            seen = ticket.load();
            if (thread < wanted(seen)) take(thread);
            entered.fetch_sub(1);
        }
    }

    // As many as there are, or can be had.
    int start(int threads) {
        threads = std::min(threads, (1 << kWantedBits) - 1);
        try {
            for (; started < threads - 1; ++started)
                std::thread(&Pool::serve, this, started + 1).detach();
        } catch (const std::system_error&) {
        }
        return std::min(threads, started + 1);
    }

    void run(int threads, int64_t count, Work f, void* with) {
        std::lock_guard<std::mutex> mine(turn);
        threads = start(threads);
        work = f;
        context = with;
        items = count;
        next.store(0, std::memory_order_relaxed);
        uint64_t number = (ticket.load() >> kWantedBits) + 1;
        ticket.store(number << kWantedBits | threads);
        if (sleeping.load() > 0) {
            std::lock_guard<std::mutex> lock(sleep);
            wake.notify_all();
        }
        take(0);
        ticket.store(number << kWantedBits);
        while (!spin([&] { return entered.load() == 0; }, kSpin)) continue;
    }
};

Pool* pool = nullptr;  // never destroyed: its threads may outlive main

void begin() { pool = new Pool; }  // in a forked child the old threads are gone

struct Scratch {
    void* memory[8] = {};
    size_t size[8] = {};
    ~Scratch() {
        for (void* piece : memory) std::free(piece);
    }
};
thread_local Scratch mine;

}  // namespace

void run(int threads, int64_t items, Work work, void* context) noexcept {
    static const bool once = [] {
        begin();
        return pthread_atfork(nullptr, nullptr, begin) == 0;
    }();
    (void)once;
    threads = static_cast<int>(std::min<int64_t>(threads, items));
    if (threads > 1 && !inside) {
        inside = true;
        pool->run(threads, items, work, context);
        inside = false;
        return;
    }
    for (int64_t item = 0; item < items; ++item) work(context, item, 0);
}

void* scratch(int slot, size_t bytes) noexcept {
    if (mine.size[slot] >= bytes) return mine.memory[slot];
    std::free(mine.memory[slot]);
    size_t rounded = (bytes + 63) / 64 * 64;
    mine.memory[slot] = std::aligned_alloc(64, rounded);
    mine.size[slot] = rounded;
    if (mine.memory[slot] == nullptr) {
        std::fprintf(stderr, "canvaslm: no memory for %zu bytes of a kernel's own\n", rounded);
        std::abort();
    }
    return mine.memory[slot];
}

}  // namespace canvaslm
