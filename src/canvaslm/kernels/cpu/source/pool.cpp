#include "pool.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace canvaslm {
namespace {

constexpr int kSpins = 20000;  // some 100 us: an operation follows the last one within that

inline void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

struct Pool {
    std::mutex busy;  // held by the one caller whose work the threads are doing

    // the work at hand, published by `round`
    Work work = nullptr;
    void* context = nullptr;
    int64_t items = 0;
    std::atomic<int64_t> next{0};
    std::atomic<int> wanted{0};   // threads of this round, the caller among them
    std::atomic<int> working{0};  // of the others, how many have not finished
    std::atomic<uint64_t> round{0};

    std::mutex sleep;
    std::condition_variable wake;
    std::atomic<int> sleeping{0};
    int started = 0;

    void take(int thread) {
        for (int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < items;)
            work(context, item, thread);
    }

    void serve(int thread, uint64_t seen) {
        for (;;) {
            int spins = 0;
            while (round.load(std::memory_order_acquire) == seen) {
                if (++spins < kSpins) {
                    pause();
                    continue;
                }
                std::unique_lock<std::mutex> lock(sleep);
                sleeping.fetch_add(1);
                wake.wait(lock, [&] { return round.load() != seen; });
                sleeping.fetch_sub(1);
            }
            ++seen;
            if (thread < wanted.load(std::memory_order_acquire)) take(thread);
            working.fetch_sub(1, std::memory_order_release);
        }
    }

    void start(int threads) {
        for (; started < threads - 1; ++started)
            std::thread(&Pool::serve, this, started + 1, round.load()).detach();
    }

    void run(int threads, int64_t count, Work f, void* with) {
        start(threads);
        work = f;
        context = with;
        items = count;
        next.store(0, std::memory_order_relaxed);
        wanted.store(threads, std::memory_order_relaxed);
        working.store(started, std::memory_order_relaxed);
        round.fetch_add(1);
        if (sleeping.load() > 0) {
            std::lock_guard<std::mutex> lock(sleep);
            wake.notify_all();
        }
        take(0);
        while (working.load(std::memory_order_acquire) > 0) pause();
    }
};

Pool* pool = nullptr;  // never destroyed: its threads may outlive main
thread_local bool inside = false;

void forget() { pool = new Pool; }  // in a forked child the old threads are gone

struct Scratch {
    void* memory[8] = {};
    size_t size[8] = {};
    ~Scratch() {
        for (void* piece : memory) std::free(piece);
    }
};
thread_local Scratch mine;

}  // namespace

void run(int threads, int64_t items, Work work, void* context) {
    static const bool once = [] {
        forget();
        pthread_atfork(nullptr, nullptr, forget);
        return true;
    }();
    (void)once;
    bool alone = threads < 2 || items < 2 || inside;
    if (!alone && pool->busy.try_lock()) {
        inside = true;
        pool->run(threads, items, work, context);
        inside = false;
        pool->busy.unlock();
        return;
    }
    for (int64_t item = 0; item < items; ++item) work(context, item, 0);
}

void* scratch(int slot, size_t bytes) {
    if (mine.size[slot] < bytes) {
        std::free(mine.memory[slot]);
        size_t rounded = (bytes + 63) / 64 * 64;
        mine.memory[slot] = std::aligned_alloc(64, rounded);
        mine.size[slot] = rounded;
    }
    return mine.memory[slot];
}

}  // namespace canvaslm
