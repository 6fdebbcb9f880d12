"""Attention of training as one operation, beside the plain one, in turn in one process.

    python bench/train_kernels.py [--rounds 9] [--threads 1] [--only sudoku pocket causal] [--json]

Shapes are those of a training step on a CPU in bfloat16: canvases over the prefixes of their
documents, and documents by themselves. Plain is `training.attend` with what it joins, repeats and
masks. Medians of processor time, which other work on the machine does not move much; the share is
of the peak of products that is measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from canvaslm.kernels.cpu.library import open_library, runnable
from canvaslm.kernels.cpu.train_attention import Seen, TrainAttention
from canvaslm.training.attend import RecordingCausal
from canvaslm.training.compiled import keep_memory
from canvaslm.training.fused.attention import attend
from canvaslm.training.speed import peak

# R canvases, or documents by themselves, L tokens of each, H heads, G kv heads, d head


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`canvases` of each document; 0: the documents by themselves."""

    documents: int
    canvases: int
    length: int
    heads: int
    kv_heads: int
    size: int
    prefix: tuple[int, int] = (0, 0)

    def rows(self, heads: int) -> Tensor:
        """As a projection leaves them: [R, heads, L, d] by strides."""
        count = self.documents * max(1, self.canvases)
        made = torch.randn(count, self.length, heads, self.size).bfloat16()
        return made.transpose(1, 2).requires_grad_()

    def prefixes(self) -> list[Tensor]:
        shape = (self.documents, self.prefix[1], self.kv_heads, self.size)
        return [torch.randn(shape).bfloat16().transpose(1, 2).requires_grad_() for _ in range(2)]


SHAPES = {
    "sudoku": Shape(
        documents=32, canvases=4, length=82, heads=4, kv_heads=4, size=32, prefix=(97, 97)
    ),
    "pocket": Shape(
        documents=20, canvases=4, length=96, heads=4, kv_heads=2, size=32, prefix=(60, 160)
    ),
    "causal": Shape(documents=32, canvases=0, length=97, heads=4, kv_heads=4, size=32),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Medians in milliseconds, and what the fused operation comes to."""

    name: str
    passes: str
    plain: float
    fused: float
    ratio: float
    giga_operations_per_second: float
    of_peak: float


class Work:
    """The same inputs for both; `operations` of the products of a forward pass."""

    def __init__(self, shape: Shape, kernels: TrainAttention) -> None:
        torch.manual_seed(0)
        self.kernels, self.causal = kernels, not shape.canvases
        self.inputs = [shape.rows(shape.heads), shape.rows(shape.kv_heads)]
        self.inputs.append(shape.rows(shape.kv_heads))
        rows = len(self.inputs[0])
        self.row_R = torch.arange(rows) // max(1, shape.canvases)
        self.seen_R = torch.randint(shape.prefix[0], shape.prefix[1] + 1, (rows,))
        keys = float(self.seen_R.sum()) + rows * shape.length
        if self.causal:
            keys = rows * (shape.length + 1) / 2
        else:
            self.inputs += shape.prefixes()
        self.operations = 4.0 * keys * shape.length * shape.heads * shape.size
        self.grad = torch.randn(rows, shape.length, shape.heads * shape.size).bfloat16()

    def plain(self) -> Tensor:
        layer = SimpleNamespace(window=None)
        recorded = RecordingCausal(SimpleNamespace(layers=[layer]))  # type: ignore[arg-type]
        context = recorded
        if not self.causal:
            recorded.keys, recorded.values = [self.inputs[3]], [self.inputs[4]]
            context = recorded.reading(self.row_R, self.seen_R)
        return context(0, *self.inputs[:3]).transpose(1, 2).flatten(2)

    def fused(self) -> Tensor:
        seen = None
        if not self.causal:
            keys, values = self.inputs[3:]
            seen = Seen(keys_BGMd=keys, values_BGMd=values, row_R=self.row_R, seen_R=self.seen_R)
        return attend(*self.inputs[:3], seen, kernels=self.kernels)

    def learn(self, run: Callable[[], Tensor]) -> None:
        torch.autograd.grad(run(), self.inputs, self.grad)


def milliseconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Of each, one after the other; the first round does not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            taken[name].append((time.process_time() - begin) * 1e3)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def measured(name: str, work: Work, most: float, rounds: int) -> list[Row]:
    with torch.no_grad():
        forward = milliseconds({"plain": work.plain, "fused": work.fused}, rounds)
    calls = {"plain": work.plain, "fused": work.fused}
    both = milliseconds({k: lambda run=run: work.learn(run) for k, run in calls.items()}, rounds)
    rows = []
    for passes, times, share in (("forward", forward, 1.0), ("forward + backward", both, 3.5)):
        speed = share * work.operations / times["fused"] / 1e6
        rows.append(
            Row(
                name=name,
                passes=passes,
                plain=times["plain"],
                fused=times["fused"],
                ratio=times["plain"] / times["fused"],
                giga_operations_per_second=speed,
                of_peak=speed * 1e9 / most,
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_memory()
    kernels = TrainAttention(open_library(runnable()[-1]))
    most = peak(torch.device("cpu"), bfloat16=True)
    rows: list[Row] = []
    for name in given.only:
        rows += measured(name, Work(SHAPES[name], kernels), most, given.rounds)
    if given.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
        return
    for row in rows:
        sys.stdout.write(
            f"{row.name:8} {row.passes:18} plain {row.plain:7.1f} ms  fused {row.fused:6.1f} ms  "
            f"{row.ratio:5.1f} times  {row.giga_operations_per_second:4.0f} GF/s, "
            f"{row.of_peak:.0%} of {most / 1e9:.0f}\n"
        )


if __name__ == "__main__":
    main()
