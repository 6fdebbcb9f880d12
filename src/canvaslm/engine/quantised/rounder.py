"""Many matrices rounded on all cores, a few ahead of whoever takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from canvaslm.engine.quantised.matrices import Matrix
from canvaslm.kernels.weight import Weight
from canvaslm.quant import rounding
from canvaslm.quant.rounding import Loss, round_matrix
from canvaslm.quant.scheme import RoundedFormat, Scheme

Importance = Mapping[str, torch.Tensor]
"""Mean square of every input, float32 [K], by the module that reads it."""

Rounded = tuple[Weight, Loss]


def rounded_format(scheme: Scheme, matrix: Matrix) -> RoundedFormat | None:
    """What the scheme rounds a matrix to; None where it stays in floating point."""
    format = scheme.format_of(matrix.part)
    return None if format in ("keep", "bf16") else format  # type: ignore[return-value]


def round_one(
    matrix: Matrix, floats: rounding.Matrix, scheme: Scheme, importance: Importance
) -> Rounded:
    """Raises ParameterError where the group does not divide, TensorError for a NaN or infinity."""
    format = rounded_format(scheme, matrix)
    assert format is not None
    return round_matrix(
        floats,
        format,
        group=scheme.group_of(format, matrix.shape[1], matrix.module),
        importance_K=importance.get(matrix.module),
        name=matrix.module,
    )


class Rounder:
    """Takes are in the order of `queue`, mostly; one out of turn is right and only slower.

    No more than two matrices a thread are under way or waiting. Use it in a `with` statement: what
    goes wrong in a matrix is raised where that is taken, and leaving stops the rest.
    """

    def __init__(
        self, queue: Sequence[Matrix], make: Callable[[Matrix], Rounded], *, threads: int
    ) -> None:
        self.queue, self.make = queue, make
        self.ahead = 2 * threads
        self.torch_threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(
            threads,
            thread_name_prefix="rounding",
            initializer=torch.set_num_threads,  # of one thread each: their own, and for new ones
            initargs=(1,),
        )
        self.waiting: dict[str, Future[Rounded]] = {}
        self.taken: set[str] = set()
        self.next = 0

    def __enter__(self) -> Rounder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self.torch_threads)

    def take(self, matrix: Matrix) -> Rounded:
        """Each matrix once."""
        self.taken.add(matrix.module)
        future = self.waiting.pop(matrix.module, None)
        if future is None:
            future = self.pool.submit(self.make, matrix)
        while self.next < len(self.queue) and len(self.waiting) < self.ahead:
            coming = self.queue[self.next]
            self.next += 1
            if coming.module not in self.taken and coming.module not in self.waiting:
                self.waiting[coming.module] = self.pool.submit(self.make, coming)
        return future.result()
