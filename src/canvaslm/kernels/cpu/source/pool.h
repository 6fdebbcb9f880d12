// Threads that share one operation's work: started once, spinning briefly between operations.
//
// parallel(threads, items, f) calls f(item, thread) for every item, the next item going to whichever
// thread is free; it returns when all are done. It waits for the threads that took part and for no
// others: one that wakes up late, or that another process keeps off its core, finds the work gone.
// What an item computes must not depend on the thread that took it; f must not throw.
//
// Callers on different threads take turns. A call from inside f runs alone on its caller. After a
// fork the child starts threads of its own. CANVASLM_PIN=1 keeps each thread on a core of its own,
// for machines that nothing else runs on; memory is not moved between NUMA nodes: there, start one
// process for each node (numactl --cpunodebind --membind).
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace canvaslm {

using Work = void (*)(void* context, int64_t item, int thread);

void run(int threads, int64_t items, Work work, void* context) noexcept;

// Memory of one thread that lives until a larger piece is asked for; aligned to 64 bytes.
// `slot` tells apart pieces that are in use at the same time (0 to 7). Ends the process, saying so,
// where there is no memory.
void* scratch(int slot, size_t bytes) noexcept;

template <class F>
void parallel(int threads, int64_t items, F&& f) {
    run(
        threads, items,
        [](void* context, int64_t item, int thread) {
            (*static_cast<std::remove_reference_t<F>*>(context))(item, thread);
        },
        &f);
}

}  // namespace canvaslm
