"""What a model is rounded to: a format for its experts, its other matrices and its embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from canvaslm.errors import ParameterError
from canvaslm.kernels.weight import GROUPS

Part = Literal["experts", "dense", "embedding", "rest"]
ExpertFormat = Literal["int4", "mxfp4", "int8", "keep"]
DenseFormat = Literal["int8", "int4", "keep"]
EmbeddingFormat = Literal["bf16", "int8", "keep"]
RoundedFormat = Literal["int4", "mxfp4", "int8"]

MXFP4_GROUP = 32


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One format for each part of a network; `keep` leaves it as the checkpoint has it.

    `group` is how many inputs of an int4 weight share a scale, 64 or 32; None takes 64 where it
    divides a matrix and 32 elsewhere. Router, norms, scalars and self-conditioning are always kept:
    they are small, and what they decide or add reaches every later layer.
    """

    experts: ExpertFormat = "int4"
    dense: DenseFormat = "int8"
    embedding: EmbeddingFormat = "bf16"
    group: int | None = None

    def __post_init__(self) -> None:
        choices = {"experts": ExpertFormat, "dense": DenseFormat, "embedding": EmbeddingFormat}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ParameterError(
                    f"{name} must be one of {', '.join(get_args(kind))}, got "
                    f"{getattr(self, name)!r}"
                )
        if self.group not in (None, *GROUPS):
            raise ParameterError(f"group must be 64, 32 or None, got {self.group!r}")

    def format_of(self, part: Part) -> RoundedFormat | Literal["bf16", "keep"]:
        if part == "rest":
            return "keep"
        formats = {"experts": self.experts, "dense": self.dense, "embedding": self.embedding}
        return formats[part]

    def group_of(self, format: RoundedFormat, width: int, name: str) -> int | None:
        """Inputs that share a scale in a matrix of `width` inputs; None is the whole row.

        Raises ParameterError, saying what fits, where none of the groups divides the width.
        """
        if format == "int8":
            return None
        if format == "mxfp4":
            allowed: tuple[int, ...] = (MXFP4_GROUP,)
        else:
            allowed = (64, 32) if self.group is None else (self.group,)
        for group in allowed:
            if width % group == 0:
                return group
        fits = "group=32, or int8" if format == "int4" and width % 32 == 0 else "int8 or keep"
        raise ParameterError(
            f"{name} has {width} inputs, which do not divide into groups of "
            f"{' or '.join(map(str, allowed))} for {format}: use {fits}"
        )


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "int4": Scheme(experts="int4"),
        "int8": Scheme(experts="int8"),
        "mxfp4": Scheme(experts="mxfp4"),
    }
)
"""What `load(quant=...)` knows by name."""


def scheme_of(quant: str | Scheme) -> Scheme:
    """The scheme of a name. Raises ParameterError, listing the names, if there is none."""
    if isinstance(quant, Scheme):
        return quant
    if quant not in SCHEMES:
        raise ParameterError(f"quant must be one of {', '.join(SCHEMES)} or None, got {quant!r}")
    return SCHEMES[quant]


def part_of(name: str) -> Part:
    """The part that a parameter of the network belongs to."""
    if name == "embedding":
        return "embedding"
    if ".experts." in name:
        return "experts"
    matrix = name.startswith("layers.") and name.endswith(".weight")
    owner = name.split(".")[-2] if matrix else ""
    return "dense" if owner in ("q", "k", "v", "o", "gate", "up", "down") else "rest"
