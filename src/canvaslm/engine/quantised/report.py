"""How far rounding moves the outputs of each kind of matrix, layer by layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from canvaslm.engine.quantised.matrices import Matrix
from canvaslm.quant.rounding import Loss
from canvaslm.quant.scheme import Scheme

FILE = "quantization_report.json"
KINDS = ("attention", "mlp", "experts", "embedding")
MEANING = (
    "expected root-mean-square error of a matrix's outputs over that of the outputs themselves, "
    "for uncorrelated inputs"
)


def kind_of(matrix: Matrix) -> str:
    if matrix.part != "dense":
        return matrix.part
    return "attention" if ".attention." in matrix.name else "mlp"


@dataclass
class Report:
    """Losses by layer and kind, filled while matrices are rounded; the embedding has no layer."""

    scheme: Scheme
    calibrated: bool
    bytes_before: int = 0
    bytes_after: int = 0
    losses: dict[tuple[int | None, str], Loss] = field(default_factory=dict)

    def add(self, matrix: Matrix, loss: Loss) -> None:
        key = (matrix.layer, kind_of(matrix))
        self.losses[key] = self.losses.get(key, Loss()) + loss

    @property
    def layers(self) -> dict[int, dict[str, float]]:
        """Relative output errors, by layer and kind."""
        found: dict[int, dict[str, float]] = {}
        for (layer, kind), loss in sorted(self.losses.items(), key=lambda item: item[0][0] or 0):
            if layer is not None:
                found.setdefault(layer, {})[kind] = loss.relative
        return {layer: ordered(kinds) for layer, kinds in found.items()}

    @property
    def whole(self) -> dict[str, float]:
        """The same over all layers, and the embedding's."""
        sums: dict[str, Loss] = {}
        for (_, kind), loss in self.losses.items():
            sums[kind] = sums.get(kind, Loss()) + loss
        return ordered({kind: loss.relative for kind, loss in sums.items()})

    def document(self) -> dict[str, Any]:
        return {
            "scheme": asdict(self.scheme),
            "calibrated": self.calibrated,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "meaning": MEANING,
            "relative_output_error": self.whole,
            "layers": [{"layer": n, **kinds} for n, kinds in self.layers.items()],
        }

    def encoded(self) -> bytes:
        return (json.dumps(self.document(), indent=2) + "\n").encode()


def ordered(kinds: Mapping[str, float]) -> dict[str, float]:
    return {kind: kinds[kind] for kind in KINDS if kind in kinds}
