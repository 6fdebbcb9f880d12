"""What PyTorch's allocator hands out on a CPU while a block of code runs."""

import gc
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def most_allocated(run: Callable[[], object]) -> int:
    """The most bytes that `run` holds at once, beyond what is there before."""
    gc.collect()  # what others left is not freed while it is watched
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None
    waiting = [*profiler.profiler.kineto_results.experimental_event_tree()]
    changes = []
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.typed[0].name == "Allocation":
            changes.append((event.start_time_ns, event.extra_fields.alloc_size))
    live = most = 0
    for _, size in sorted(changes, key=lambda change: change[0]):
        live += size
        most = max(most, live)
    return most
