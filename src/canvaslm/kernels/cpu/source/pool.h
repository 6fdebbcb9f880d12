// Threads that share one operation's work: started once, spinning briefly between operations.
//
// parallel(threads, items, f) calls f(item, thread) for every item, the next item going to whichever
// thread is free; it returns when all are done. What an item computes must not depend on the thread
// that took it. A call from inside f, or while another thread of the process is at work here, runs
// alone on its caller. After a fork the child starts threads of its own.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace canvaslm {

using Work = void (*)(void* context, int64_t item, int thread);

void run(int threads, int64_t items, Work work, void* context);

// Memory of one thread that lives until a larger piece is asked for; aligned to 64 bytes.
// `slot` tells apart pieces that are in use at the same time (0 to 7).
void* scratch(int slot, size_t bytes);

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
