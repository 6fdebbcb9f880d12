"""What bench/train.py measured, as the tables of docs/training.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def report(found: Json) -> str:
    """Markdown: what was measured where, then a table for each workload."""
    return "\n\n".join(
        [machine(found), *("\n".join(work(part)) for part in found["works"].values())]
    )


def machine(found: Json) -> str:
    peaks = {kind: value / 1e9 for kind, value in found["peaks"].items()}
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    threads = "one thread" if found["threads"] == 1 else f"{found['threads']} threads"
    return (
        f"Measured on {found['machine']}, {threads}, {versions}; medians over {found['rounds']} "
        f"rounds of {found['steps']} steps in turn, in seconds of processor time, as other work "
        f"ran beside. Large products reach {peaks['float32']:.0f} GFLOP/s in float32 and "
        f"{peaks['bfloat16']:.0f} in bfloat16 here. "
        "Weights, gradients and optimiser are float32 on every line; the matrix products of "
        "canvaslm are in bfloat16, those of transformers in what the line says (`mixed_precision` "
        "of accelerate: `no` or `bf16`). `sdpa` is PyTorch's fused attention, `grouped_mm` one "
        "product for all experts, both what transformers takes where nothing is said; not "
        "compiled means without `torch.compile`. The last column is the median over the rounds."
    )


def work(part: Json) -> Iterator[str]:
    agree, sides = part["agree"], part["sides"]
    yield (
        f"**{part['what'][0].upper()}{part['what'][1:]}.** In float32 the losses of "
        f"{len(next(iter(agree['losses'].values())))} steps from the same weights are "
        f"{agree['apart']:.0e} apart at most, relative ({agree['allowed']:.0e} allowed).\n"
    )
    yield "| | s a step | tokens/s | GFLOP/s | times as long as canvaslm |"
    yield "|---|---|---|---|---|"
    for name, one in sides.items():
        yield (
            f"| {name} | {one['cpu_per_step']:.2f} | {one['tokens_per_second']:,.0f} | "
            f"{one['operations_per_second'] / 1e9:.0f} | {one['slower']:.2f} |"
        )
    if "ways" in part:
        yield "\n" + ways(part["ways"])


def ways(tried: list[Json]) -> str:
    """How else the peer was set up."""
    timed = [one for one in tried if "cpu" in one]
    said = [f"{one['name']}: {one['cpu']:.2f} s" for one in sorted(timed, key=lambda x: x["cpu"])]
    said += [f"{one['name']}: {one['failed']}" for one in tried if "failed" in one]
    return f"Tried before for transformers: {'; '.join(said)}."
