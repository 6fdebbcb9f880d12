// Exercises the thread pool and ends with 0 when all was well: `exercise SCENARIO`. Compiled with
// source/pool.cpp, as it is and under the sanitizers.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "pool.h"

using canvaslm::parallel;
using canvaslm::scratch;

namespace {

#define CHECK(condition)                                                  \
    if (!(condition)) {                                                   \
        std::fprintf(stderr, "line %d: %s fails\n", __LINE__, #condition); \
        return false;                                                     \
    }

// Each item is done once, by a thread below the number asked for.
bool once_each(int threads, int64_t items) {
    std::vector<int> done(items), by(items, -1);
    parallel(threads, items, [&](int64_t item, int thread) {
        ++done[item];
        by[item] = thread;
    });
    for (int64_t i = 0; i < items; ++i) {
        CHECK(done[i] == 1);
        CHECK(by[i] >= 0 && by[i] < threads);
    }
    return true;
}

bool rounds() {
    for (int round = 0; round < 4000; ++round) CHECK(once_each(1 + round % 8, round % 37));
    CHECK(once_each(3, 100000));
    return true;
}

bool apart() {  // long enough for the threads to fall asleep
    for (int round = 0; round < 40; ++round) {
        std::this_thread::sleep_for(std::chrono::microseconds(100 * round % 1700));
        CHECK(once_each(4, 50));
    }
    return true;
}

// Three items that wait for each other are done by three threads, asleep before or not.
bool together() {
    for (int round = 0; round < 200; ++round) {
        std::atomic<int> there{0};
        parallel(3, 3, [&](int64_t, int) {
            for (++there; there < 3;) std::this_thread::yield();
        });
        if (round % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

bool nested() {
    std::atomic<int> inner{0};
    parallel(4, 20, [&](int64_t, int) {
        parallel(4, 10, [&](int64_t, int thread) { inner += thread == 0; });
    });
    CHECK(inner == 200);
    return true;
}

bool callers() {
    std::atomic<bool> well{true};
    auto one = [&](int threads) {
        for (int round = 0; round < 500; ++round)
            if (!once_each(threads, 20)) well = false;
    };
    std::thread first(one, 2), second(one, 3), third(one, 1);
    first.join(), second.join(), third.join();
    CHECK(well);
    return true;
}

bool memory() {
    std::atomic<bool> well{true};
    parallel(4, 400, [&](int64_t item, int) {
        size_t bytes = 1 + item * 37 % 5000;
        auto low = static_cast<uint8_t*>(scratch(0, bytes));
        auto high = static_cast<uint8_t*>(scratch(7, bytes));
        std::memset(low, 1, bytes);
        std::memset(high, 2, bytes);
        if (reinterpret_cast<uintptr_t>(low) % 64 || low[bytes - 1] != 1) well = false;
        if (scratch(0, 1) != low) well = false;
    });
    CHECK(well);
    return true;
}

// Many more threads than cores, and little to do: threads that come late are not waited for.
bool crowd() {
    auto start = std::chrono::steady_clock::now();
    for (int round = 0; round < 1000; ++round) CHECK(once_each(32, 64));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
    return true;
}

bool child_of(bool (*work)()) {
    pid_t child = fork();
    if (child == 0) _exit(work() ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool some_rounds() {
    for (int round = 0; round < 100; ++round) CHECK(once_each(4, 50));
    return true;
}

bool forks() {
    CHECK(some_rounds());
    CHECK(child_of(some_rounds));
    std::atomic<bool> stop{false};  // and while another thread is at work
    std::thread busy([&] {
        while (!stop) once_each(4, 500);
    });
    bool well = true;
    for (int i = 0; i < 10; ++i) well = well && child_of(some_rounds);
    stop = true;
    busy.join();
    CHECK(well);
    return some_rounds();
}

bool exhausted() {  // ends the process with a word, not with a null pointer
    rlimit limit{size_t{1} << 28, size_t{1} << 28};
    setrlimit(RLIMIT_AS, &limit);
    std::memset(scratch(0, size_t{1} << 30), 0, 64);
    return true;
}

bool few() {  // no threads to be had: the caller does it all
    rlimit limit{size_t{1} << 24, size_t{1} << 24};
    setrlimit(RLIMIT_AS, &limit);
    return once_each(8, 50);
}

constexpr struct {
    const char* name;
    bool (*run)();
} kScenarios[] = {{"rounds", rounds},   {"apart", apart},         {"together", together},
                  {"nested", nested},   {"callers", callers},     {"memory", memory},
                  {"crowd", crowd},     {"forks", forks},         {"few", few},
                  {"exhausted", exhausted}};

}  // namespace

int main(int count, char** names) {
    for (const auto& scenario : kScenarios)
        if (count == 2 && std::strcmp(names[1], scenario.name) == 0) return scenario.run() ? 0 : 1;
    return 2;
}
