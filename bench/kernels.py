"""Single operations at full size beside torch's, in turn in one process, each with its ceiling.

    python bench/kernels.py [--repeat 5] [--seconds 20] [--only experts head ...] [--scale 1]

Sizes are those of the 26B release, 256 tokens. Weights are random and rotate through more bytes
than any cache holds; a first turn warms up and does not count; medians of the rest. An operation
stops after --seconds. --scale shrinks every width, for a quick look.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from canvaslm.kernels.choose import operations
from canvaslm.kernels.cpu.peaks import Peaks
from canvaslm.kernels.ops import Operations
from canvaslm.kernels.rows import Kind
from canvaslm.kernels.weight import Format, Weight
from canvaslm.measure.ceilings import measure_ceilings
from canvaslm.measure.work import Work
from canvaslm.quant.synthetic import codes, normal, scales

# T tokens, D hidden, N outputs, K inputs, I intermediate, E experts, V vocabulary, S keys

BEYOND = 640 << 20  # bytes that weights are rotated through
MOST = 32  # of small matrices
REST = 0.02  # seconds between two calls
TEMPERATURE, SOFTCAP = 0.6, 30.0
Call = Callable[[int], object]
"""One operation; the argument is the number of the turn, which chooses its weights."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of the 26B release, times `scale`."""

    tokens: int = 256
    hidden: int = 2816
    wide: int = 12_288
    inner: int = 704
    experts: int = 128
    top: int = 8
    vocabulary: int = 262_144
    prefixes: tuple[int, ...] = (1024, 32_768)

    @classmethod
    def scaled(cls, scale: float) -> Sizes:
        if scale == 1:
            return cls()

        def less(size: int) -> int:
            return max(64, round(size * scale / 64) * 64)

        return cls(
            hidden=less(2816),
            wide=less(12_288),
            inner=less(704),
            experts=max(8, round(128 * scale)),
            vocabulary=less(262_144),
            prefixes=(64, less(32_768)),
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operation, ours first, and what it has to do at least."""

    name: str
    work: Work
    calls: Mapping[str, Call]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Median milliseconds by who computed, and what ours come to."""

    name: str
    milliseconds: dict[str, float]
    floor_milliseconds: float
    of_ceiling: float
    bound_by: str
    gigabytes_per_second: float
    tera_operations_per_second: float
    note: str = ""
    turns: dict[str, int] = field(default_factory=dict)


def made(format: Format, rows: int, width: int, *, seed: int = 0, group: int = 64) -> Weight:
    """A random weight, its codes and scales as rounding leaves them."""
    if format == "bfloat16":
        return Weight(format, drawn(normal(0.02), (rows, width), torch.bfloat16, seed))
    scale_type = torch.float32 if format == "int8" else torch.bfloat16
    if format == "int8":
        data = drawn(codes(format), (rows, width), torch.int8, seed)
        shape: tuple[int, ...] = (rows,)
    else:
        data = drawn(codes(format), (rows, width // 2), torch.uint8, seed)
        shape = (rows, width // group)
    scale = drawn(scales(format, 0.02), shape, torch.bfloat16, seed + 1)
    return Weight(format, data, scale.to(scale_type))


def drawn(table: Any, shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    pieces = table.draw(math.prod(shape), "bench", seed=seed)
    parts = [torch.frombuffer(bytearray(piece), dtype=dtype) for piece in pieces]
    return torch.cat(parts).view(shape)


def rotating(make: Callable[[int], Any], size: int) -> Callable[[int], Any]:
    """Enough of them that no cache holds all, at full size; the turn chooses one."""
    several = [make(seed) for seed in range(min(max(1, -(-BEYOND // size)), MOST))]
    return lambda turn: several[turn % len(several)]


def dense(ops: Operations, sizes: Sizes, *, outputs: int, tokens: int) -> Case:
    """int8 rows times an int8 weight; torch's own int8 and bfloat16 products."""
    width = sizes.hidden
    count = outputs * width
    x_TK = torch.randn(tokens, width)
    x, half_TK = ops.rows(x_TK, "int8"), x_TK.bfloat16()
    byte_TK = (x_TK * 30).clamp(-127, 127).to(torch.int8)
    ours = rotating(lambda seed: made("int8", outputs, width, seed=seed), count)
    halves = rotating(lambda seed: made("bfloat16", outputs, width, seed=seed).data, 2 * count)
    calls: dict[str, Call] = {
        "canvaslm int8": lambda turn: ops.linear(x, ours(turn)),
        "torch bfloat16 linear": lambda turn: F.linear(half_TK, halves(turn)),
    }
    if tokens > 16:
        calls["torch _int_mm"] = lambda turn: torch._int_mm(byte_TK, ours(turn).data.t())
    work = Work(by_kind={"int8": 2.0 * count * tokens}, bytes=count + 4.0 * outputs)
    return Case(name=f"dense int8 {tokens} x {width} x {outputs}", work=work, calls=calls)


def experts(ops: Operations, sizes: Sizes, *, tokens: int) -> Case:
    """A layer's int4 experts; torch's loop over bfloat16 ones, as `model.moe` has it."""
    from canvaslm.model.config import ExpertsConfig
    from canvaslm.model.moe import Experts

    size, inner, count, top = sizes.hidden, sizes.inner, sizes.experts, sizes.top
    x_TD = torch.randn(tokens, size)
    x, half_TD = ops.rows(x_TD, "int8"), x_TD.bfloat16()
    weights_TX, index_TX = torch.randn(tokens, count).softmax(-1).topk(top)
    index_TX = index_TX.int()
    numbers = 3 * size * inner

    def layer(seed: int) -> Any:
        def several(rows: int, width: int, start: int) -> list[Weight]:
            whole = made("int4", rows * count, width, seed=1000 * seed + start)
            assert whole.scale is not None
            pairs = zip(whole.data.chunk(count), whole.scale.chunk(count), strict=True)
            return [Weight("int4", data, scale) for data, scale in pairs]

        return ops.gather(several(inner, size, 0), several(inner, size, 1), several(size, inner, 2))

    ours = rotating(layer, numbers * count // 2)
    loop = Experts(size, ExpertsConfig(count=count, top_k=top, intermediate_size=inner)).bfloat16()
    for parameter in loop.parameters():
        shape = (math.prod(parameter.shape[:2]), parameter.shape[2])
        parameter.data = made("bfloat16", *shape).data.view(parameter.shape)
    touched = len(index_TX.unique())
    return Case(
        name=f"experts of a layer, int4, {tokens} tokens",
        work=Work(
            by_kind={"int8": 2.0 * numbers * top * tokens}, bytes=touched * numbers * 4.25 / 8
        ),
        calls={
            "canvaslm int4": lambda turn: ops.experts(x, ours(turn), weights_TX, index_TX),
            "torch bfloat16 loop": lambda turn: loop(half_TD, weights_TX, index_TX.long()),
        },
        note=f"{touched} of {count} experts touched",
    )


def head(ops: Operations, sizes: Sizes) -> Case:
    """The vocabulary head, statistics and soft embedding; transformers' chain of operations."""
    rows, width, tokens = sizes.vocabulary, sizes.hidden, sizes.tokens
    table = made("bfloat16", rows, width)
    h_TD = torch.randn(tokens, width) * 5 / (0.02 * width**0.5)
    x, half_TD = ops.rows(h_TD, "bfloat16"), h_TD.bfloat16()
    uniform_T = torch.rand(tokens, dtype=torch.float64)

    def ours(turn: int) -> Tensor:
        belief = ops.believe(
            x, table, softcap=SOFTCAP, temperature=TEMPERATURE, uniform_T=uniform_T
        )
        return ops.soften(belief)

    numbers = float(rows) * width
    return Case(
        name=f"vocabulary head, {tokens} x {width} x {rows}",
        work=Work(by_kind={"bfloat16": 2.0 * numbers * tokens}, bytes=2.0 * numbers),
        calls={
            "canvaslm": ours,
            "transformers' chain": lambda turn: reference_chain(half_TD, table.data),
        },
        note="logits, soft cap, a draw, entropy, likeliest token, soft embedding; the floor is "
        "that of the logits alone",
    )


def reference_chain(h_TD: Tensor, table_VD: Tensor) -> Tensor:
    """What transformers computes of a step's hidden states, operation for operation."""
    logits = F.linear(h_TD, table_VD).float()
    logits = torch.tanh(logits / SOFTCAP) * SOFTCAP / TEMPERATURE
    torch.multinomial(logits.softmax(dim=-1), 1)
    logits.argmax(dim=-1)
    torch.distributions.Categorical(logits=logits).entropy()  # for the sampler
    torch.distributions.Categorical(logits=logits).entropy()  # for the stopping rule
    return logits.bfloat16().softmax(dim=-1) @ table_VD


def attention(ops: Operations, *, name: str, kv_heads: int, size: int, prefix: int) -> Case:
    """256 queries see every key; torch's, grouped, and with groups folded into rows."""
    heads, tokens = 16, 256
    q = (torch.randn(heads, tokens, size) * 0.35).bfloat16()
    pages = -(-prefix // 256)
    segments = [
        tuple((torch.randn(2, kv_heads, min(256, prefix - 256 * i), size) * 0.35).bfloat16())
        for i in range(pages)
    ]
    segments.append(tuple((torch.randn(2, kv_heads, tokens, size) * 0.35).bfloat16()))
    k, v = (torch.cat([pair[i] for pair in segments], dim=1)[None] for i in (0, 1))
    seen = k.shape[2]
    folded = q.view(1, kv_heads, -1, size)
    return Case(
        name=f"attention, {name}, {seen} keys",
        work=Work(
            by_kind={"bfloat16": 4.0 * heads * size * tokens * seen},
            bytes=4.0 * kv_heads * size * seen,
        ),
        calls={
            "canvaslm": lambda turn: ops.attend(q, segments),
            "torch, groups folded": lambda turn: F.scaled_dot_product_attention(
                folded, k, v, scale=1.0
            ),
            "torch, enable_gqa": lambda turn: F.scaled_dot_product_attention(
                q[None], k, v, scale=1.0, enable_gqa=True
            ),
        },
    )


def norm(ops: Operations, sizes: Sizes) -> Case:
    """A norm that rounds its rows to int8; the same in torch."""
    h_TD, weight_D = torch.randn(sizes.tokens, sizes.hidden), torch.rand(sizes.hidden)

    def by_torch(turn: int) -> Tensor:
        x_TD = F.rms_norm(h_TD, h_TD.shape[-1:], weight_D, 1e-6)
        scale_T1 = x_TD.abs().amax(dim=-1, keepdim=True) / 127
        return (x_TD / scale_T1).round().to(torch.int8)

    kind: Kind = "int8"
    return Case(
        name=f"norm and rounding, {sizes.tokens} x {sizes.hidden}",
        work=Work(bytes=5.0 * h_TD.numel()),
        calls={
            "canvaslm": lambda turn: ops.norm(h_TD, weight_D, eps=1e-6, kind=kind),
            "torch": by_torch,
        },
        note="out of the caches, so above what memory gives",
    )


def cases(ops: Operations, sizes: Sizes) -> dict[str, Callable[[], Case]]:
    """All of them by a short name, made when asked for, as each takes its gigabyte."""
    found = {
        "dense": lambda: dense(ops, sizes, outputs=sizes.wide, tokens=sizes.tokens),
        "query": lambda: dense(ops, sizes, outputs=sizes.wide // 3, tokens=sizes.tokens),
        "dense-1": lambda: dense(ops, sizes, outputs=sizes.wide, tokens=1),
        "experts": lambda: experts(ops, sizes, tokens=sizes.tokens),
        "experts-1": lambda: experts(ops, sizes, tokens=1),
        "head": lambda: head(ops, sizes),
        "sliding": lambda: attention(ops, name="sliding", kv_heads=8, size=256, prefix=1023),
        "norm": lambda: norm(ops, sizes),
    }
    for prefix in sizes.prefixes:
        found[f"full-{prefix}"] = lambda prefix=prefix: attention(  # type: ignore[misc]
            ops, name="full", kv_heads=2, size=512, prefix=prefix
        )
    return found


@torch.inference_mode()
def measure(case: Case, probe: Callable[[], Peaks], *, repeat: int, seconds: float) -> Row:
    """All who compute it in turn, so that what else the machine does falls on each.

    Before each the machine rests, as the threads of the one before spin on for a while.
    """
    taken: dict[str, list[float]] = {who: [] for who in case.calls}
    until = time.perf_counter() + seconds
    for turn in range(repeat + 1):
        for who, call in case.calls.items():
            time.sleep(REST)
            begun = time.perf_counter()
            call(turn)
            taken[who].append(time.perf_counter() - begun)
        if turn > 0 and time.perf_counter() > until:
            break
    peaks = probe()
    medians = {who: statistics.median(times[1:]) for who, times in taken.items()}
    ours, floor = next(iter(medians.values())), case.work.floor(peaks)
    return Row(
        name=case.name,
        milliseconds={who: 1e3 * value for who, value in medians.items()},
        floor_milliseconds=1e3 * floor,
        of_ceiling=floor / ours,
        bound_by=case.work.bound_by(peaks),
        gigabytes_per_second=case.work.bytes / ours / 1e9,
        tera_operations_per_second=case.work.operations / ours / 1e12,
        note=case.note,
        turns={who: len(times) - 1 for who, times in taken.items()},
    )


def table(rows: list[Row]) -> str:
    """Markdown: ours, its ceiling, and the others as factors."""
    lines = [
        "| operation | canvaslm | at least | of ceiling | GB/s | TOP/s | others, times as long |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours = next(iter(row.milliseconds.values()))
        others = ", ".join(
            f"{who} {value / ours:.1f}" for who, value in list(row.milliseconds.items())[1:]
        )
        lines.append(
            f"| {row.name} | {ours:.2f} ms | {row.floor_milliseconds:.2f} ms, {row.bound_by} | "
            f"{row.of_ceiling:.0%} | {row.gigabytes_per_second:.1f} | "
            f"{row.tera_operations_per_second:.3f} | {others} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="stop an operation after so long")
    parser.add_argument("--only", nargs="+", help="operations by their short names")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--kernels", help="the instruction set; default: the best")
    parser.add_argument("--quick", action="store_true", help="small probes for the peaks")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    ops, sizes = operations(given.kernels), Sizes.scaled(given.scale)
    peaks, rows = measure_ceilings(quick=given.quick), []

    def probe() -> Peaks:
        """The best that was seen so far: other work may disturb any of them."""
        nonlocal peaks
        peaks = peaks.or_better(measure_ceilings(quick=given.quick))
        return peaks

    for name, make in cases(ops, sizes).items():
        if given.only is None or name in given.only:
            rows.append(measure(make(), probe, repeat=given.repeat, seconds=given.seconds))
    found = {"kernels": ops.name, "peaks": asdict(peaks), "rows": [asdict(row) for row in rows]}
    sys.stdout.write((json.dumps(found, indent=1) if given.json else table(rows)) + "\n")


if __name__ == "__main__":
    main()
