"""A training run's memory plan as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canvaslm.training.plan import Plan, Work
    from canvaslm.training.rehearse import Sizes

LABELS = {
    "dense": "attention and dense MLPs",
    "rest": "router, norms and the like",
    "encoder": "kept by the encoder",
    "denoiser": "kept by the denoiser",
    "heads": "kept by the vocabulary head",
    "transient": "for a moment, at most",
    "program": "the program itself",
}
Plans = Mapping[str, "Plan"]
"""Ways to run it, by name."""


def lines(model: str, work: Work, plans: Plans, room: int, *, given: bool) -> Iterator[str]:
    """The table, in gigabytes of 10^9 bytes; the room was given, or is what is free here."""
    first = next(iter(plans.values()))
    optimiser = type(work.optimise).__name__
    yield f"{model}: {kind_of(work)}; {first.numbers:,} numbers learn by {optimiser}"
    yield sizes_of(work.sizes)
    yield ""
    yield row("GB", plans)
    for part in first.parts:
        values = [made.parts[part] for made in plans.values()]
        if any(values):
            yield row(LABELS.get(part, part), (f"{value / 1e9:.2f}" for value in values))
    yield row("total", (f"{made.total / 1e9:.2f}" for made in plans.values()))
    left = (f"{(room - made.total) / 1e9:.2f}" for made in plans.values())
    yield row(f"left of {room / 1e9:.1f}{'' if given else ', free here'}", left)
    yield ""
    for who in ("encoder", "denoiser"):
        each = (f"{kept_each(made, work, who) / 1e3:.1f}" for made in plans.values())
        yield row(f"{who}, kB a token and layer", each)


def row(label: str, cells: Any) -> str:
    return f"{label:30}" + "".join(f"{cell:>16}" for cell in cells)


def kept_each(made: Plan, work: Work, who: str) -> float:
    """Bytes that a token of the encoder or denoiser keeps in a layer."""
    tokens = {"encoder": work.sizes.encoded, "denoiser": work.sizes.denoised}[who]
    kept: int = getattr(made.step, who)
    return kept / tokens / len(work.config.layers)


def kind_of(work: Work) -> str:
    from canvaslm.training.part import LowRank

    base = "float32"
    if work.scheme is not None:
        base = f"experts {work.scheme.experts}, dense {work.scheme.dense}, rest {work.dtype}"
    learns = f"LoRA of rank {work.part.rank}" if isinstance(work.part, LowRank) else "all weights"
    return f"{base}; {learns}{', products in bfloat16' if work.bfloat16 else ''}"


def sizes_of(sizes: Sizes) -> str:
    each = "" if sizes.noises == 1 else f", {sizes.noises} times noised"
    return (
        f"{sizes.documents} x {sizes.prompt} tokens of prompt and {sizes.canvas} of canvas{each} "
        "at a time"
    )


def document(model: str, work: Work, plans: Plans, room: int) -> dict[str, Any]:
    """The same for programs, in bytes."""
    return {
        "model": model,
        "kind": kind_of(work),
        "sizes": vars(work.sizes),
        "numbers": next(iter(plans.values())).numbers,
        "room": room,
        "plans": {name: described(made, work, room) for name, made in plans.items()},
    }


def described(made: Plan, work: Work, room: int) -> dict[str, Any]:
    return {
        "parts": made.parts,
        "total": made.total,
        "fits": made.total <= room,
        "bytes_per_token_and_layer": {
            who: round(kept_each(made, work, who)) for who in ("encoder", "denoiser")
        },
    }
