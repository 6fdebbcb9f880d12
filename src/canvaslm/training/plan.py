"""The memory of a training run, planned before any of it is taken, for a network of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor, nn

from canvaslm.adapter.adapter import Pair, linears, target_of
from canvaslm.adapter.rounded import frozen
from canvaslm.adapter.wear import LowRank as Wrapped
from canvaslm.engine.plan import RESERVE
from canvaslm.engine.quantised.matrices import kept_names, matrices, shapes
from canvaslm.engine.quantised.rounder import rounded_format
from canvaslm.errors import ParameterError
from canvaslm.kernels.weight import Format, Weight
from canvaslm.model.config import LayerConfig, ModelConfig
from canvaslm.model.transformer import Transformer
from canvaslm.quant.scheme import Scheme
from canvaslm.training.depth import told
from canvaslm.training.optimise.choose import Adafactor, MuonAdamW, Optimise, is_matrix
from canvaslm.training.part import Everything, LowRank, Part
from canvaslm.training.rehearse import REHEARSED, Kept, Sizes, rehearse
from canvaslm.training.rounded import Type

FLOAT32 = 4  # bytes
UPDATE = 4  # copies of the largest weight while the optimiser changes it

# N outputs, K inputs, r rank


@dataclass(frozen=True, kw_only=True)
class Work:
    """A run as far as its memory goes.

    `scheme` is what the base is rounded to, None: it is float32 and may learn; `dtype` is of what a
    rounded base keeps in floating point. `stored` are the bytes of a folder that is rounded
    already, by part.
    """

    config: ModelConfig
    sizes: Sizes
    part: Part
    optimise: Optimise
    scheme: Scheme | None = None
    dtype: Type = "float32"
    average: bool = False
    bfloat16: bool = False
    stored: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scheme is not None and isinstance(self.part, Everything):
            raise ParameterError("weights of few bits cannot learn: plan an adapter, --lora RANK")
        if self.scheme is None and self.dtype != "float32":
            raise ParameterError(
                f"a base that is not rounded is float32, got {self.dtype!r}: leave --dtype out, or "
                "round the base by --lora RANK --quant"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Bytes by purpose. Gradients are there from the second micro-batch of a step on, and are
    counted as always there; `numbers` is how many numbers learn."""

    weights: Mapping[str, int]  # experts, dense, embedding, rest
    numbers: int
    adapter: int
    gradients: int
    optimiser: int
    average: int
    step: Kept
    update: int

    @property
    def parts(self) -> dict[str, int]:
        """In the order in which they come into being."""
        learning = {
            "adapter": self.adapter,
            "gradients": self.gradients,
            "optimiser": self.optimiser,
            "average": self.average,
        }
        passing = {
            "encoder": self.step.encoder,
            "denoiser": self.step.denoiser,
            "heads": self.step.heads,
            "transient": max(self.step.transient, self.update - self.step.kept),
        }
        return dict(self.weights) | learning | passing | {"program": RESERVE}

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def fixed(self) -> int:
        """What is there before a step and after it."""
        kept = (self.adapter, self.gradients, self.optimiser, self.average)
        return sum(self.weights.values()) + sum(kept)


def plan(work: Work, *, recompute: bool) -> Plan:
    """The memory that a run takes at most, without allocating any of it."""
    learning = learning_shapes(work)
    numbers = sum(prod(shape) for shape in learning.values())
    return Plan(
        weights=weight_bytes(work),
        numbers=numbers,
        adapter=FLOAT32 * numbers if isinstance(work.part, LowRank) else 0,
        gradients=FLOAT32 * numbers,
        optimiser=optimiser_bytes(work.optimise, learning),
        average=FLOAT32 * numbers if work.average else 0,
        step=step_of(work, recompute=recompute),
        update=UPDATE * FLOAT32 * max(prod(shape) for shape in learning.values()),
    )


def step_of(work: Work, *, recompute: bool) -> Kept:
    """What a step holds."""

    def of(layers: tuple[LayerConfig, ...]) -> Kept:
        part = replace(work, config=replace(work.config, layers=layers))
        return rehearse(lambda: build(part), work.sizes, bfloat16=work.bfloat16, again=recompute)

    return told(work.config.layers, of)


def learning_shapes(work: Work) -> dict[str, tuple[int, ...]]:
    """What learns, by name. Raises ParameterError for a target that the network lacks."""
    if not isinstance(work.part, LowRank):
        with torch.device("meta"):
            model = Transformer(work.config)
        return {name: tuple(p.shape) for name, p in model.named_parameters()}
    rank, targets = work.part.rank, work.part.targets
    chosen = {n: s for n, s in linears(work.config).items() if target_of(n) in targets}
    if absent := set(targets) - {target_of(name) for name in chosen}:
        raise ParameterError(
            f"the network has no {', '.join(sorted(absent))}: leave that out of the targets"
        )
    thin: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs) in chosen.items():
        thin |= {f"{name}.a": (rank, inputs), f"{name}.b": (outputs, rank)}
    return thin


def weight_bytes(work: Work) -> dict[str, int]:
    """Of the base, by part. Raises ParameterError where a group divides no matrix."""
    found = dict.fromkeys(("experts", "dense", "embedding", "rest"), 0)
    width = 2 if work.dtype == "bfloat16" else FLOAT32
    for matrix in matrices(work.config):
        format = None if work.scheme is None else rounded_format(work.scheme, matrix)
        if format is None or matrix.part == "embedding":
            found[matrix.part] += prod(matrix.shape) * width
        else:
            assert work.scheme is not None
            group = work.scheme.group_of(format, matrix.shape[1], matrix.module)
            with torch.device("meta"):
                found[matrix.part] += rounded(format, matrix.shape, group).bytes
    sizes = shapes(work.config)
    found["rest"] += sum(prod(sizes[name]) for name in kept_names(work.config)) * width
    return found | {name: work.stored[name] for name in ("experts", "dense") if work.stored}


def rounded(format: Format, shape: tuple[int, int], group: int | None) -> Weight:
    """A weight without numbers."""
    rows, width = shape
    if format == "int8":
        return Weight(format, torch.empty(rows, width, dtype=torch.int8), torch.empty(rows))
    assert group is not None
    kind = torch.bfloat16 if format == "int4" else torch.uint8
    data = torch.empty(rows, width // 2, dtype=torch.uint8)
    return Weight(format, data, torch.empty(rows, width // group, dtype=kind))


def optimiser_bytes(optimise: Optimise, learning: Mapping[str, tuple[int, ...]]) -> int:
    """What it keeps between steps."""
    return FLOAT32 * sum(slots(optimise, name, shape) for name, shape in learning.items())


def slots(optimise: Optimise, name: str, shape: tuple[int, ...]) -> int:
    """Numbers for one parameter: two of each but for Muon's matrices, which need one, and for
    Adafactor, which keeps a column and a row of a matrix. A step count is not counted."""
    if isinstance(optimise, Adafactor):
        if len(shape) < 2:
            return prod(shape)
        return prod(shape) // shape[-1] + prod(shape) // shape[-2]
    with torch.device("meta"):
        by_muon = is_matrix(name, nn.Parameter(torch.empty(shape)))
    return prod(shape) if isinstance(optimise, MuonAdamW) and by_muon else 2 * prod(shape)


def build(work: Work) -> tuple[Transformer, list[nn.Parameter]]:
    """The network of a run with what learns in it; under fake tensors it costs nothing."""
    model = Transformer(work.config) if work.scheme is None else of_few_bits(work, work.scheme)
    if not isinstance(work.part, LowRank):
        return model, list(model.parameters())
    model.requires_grad_(False)
    made: list[nn.Parameter] = []
    for name, (outputs, inputs) in linears(work.config).items():
        if target_of(name) in work.part.targets:
            rank = work.part.rank
            pair = Pair(torch.empty(rank, inputs), torch.empty(outputs, rank))
            wrapped = Wrapped(model.get_submodule(name), pair, scale=work.part.config.scale)
            model.set_submodule(name, wrapped)
            made += [wrapped.a, wrapped.b]
    return model, made


def of_few_bits(work: Work, scheme: Scheme) -> Transformer:
    """A base without numbers, and with those experts only that are rehearsed."""
    state: dict[str, Tensor | Weight | list[Weight]] = {}
    for matrix in matrices(work.config):
        format = rounded_format(scheme, matrix)
        if (matrix.expert or 0) >= REHEARSED:
            continue
        if format is None:
            state[matrix.name] = torch.empty(matrix.shape)
            continue
        group = scheme.group_of(format, matrix.shape[1], matrix.module)
        weight = rounded(format, matrix.shape, group)
        if matrix.expert is None:
            state[matrix.name] = weight
        else:
            of_layer = state.setdefault(matrix.name, [])
            assert isinstance(of_layer, list)
            of_layer.append(weight)
    sizes = shapes(work.config)
    state |= {name: torch.empty(sizes[name]) for name in kept_names(work.config)}
    return frozen(work.config, state, dtype=getattr(torch, work.dtype))
