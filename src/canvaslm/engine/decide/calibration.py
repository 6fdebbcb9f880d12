"""Temperatures that make the probabilities of decisions mean what they say, kept in a file."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from canvaslm.engine.decide.questions import Kind
from canvaslm.errors import ConfigError, ParameterError, StorageError

Method = Literal["denoise", "causal"]
METHODS: tuple[Method, ...] = get_args(Method)
KINDS: tuple[Kind, ...] = get_args(Kind)
FILE = "decisions.json"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A temperature for each method and kind of question; 1 where none has been fitted."""

    temperatures: Mapping[Method, Mapping[Kind, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for method, by_kind in self.temperatures.items():
            if method not in METHODS:
                raise ParameterError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
            for kind, value in by_kind.items():
                if kind not in KINDS:
                    raise ParameterError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise ParameterError(f"a temperature must be a number, got {value!r}")
                if not 0 < value < math.inf:
                    raise ParameterError(f"a temperature must be positive, got {value!r}")

    def temperature(self, method: Method, kind: Kind) -> float:
        return self.temperatures.get(method, {}).get(kind, 1.0)

    def replace(self, method: Method, temperatures: Mapping[Kind, float]) -> Calibration:
        """A copy with these temperatures for `method`; those of other kinds stay."""
        kept = self.temperatures.get(method, {})
        return Calibration(temperatures={**self.temperatures, method: {**kept, **temperatures}})

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """From a file, or from decisions.json in a folder; a folder without one has fitted none.

        Raises ConfigError for a file that is missing or holds something else.
        """
        file = Path(path)
        if file.is_dir():
            file /= FILE
            if not file.exists():
                return cls()
        try:
            value = json.loads(file.read_text("utf-8"))
            return cls(temperatures=value["temperatures"])
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from None
        except ParameterError as error:
            raise ConfigError(f"{file}: {error}; fit it again with `canvaslm calibrate`") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigError(
                f"{file} holds no temperatures; fit them again with `canvaslm calibrate`"
            ) from None

    def write(self, path: str | Path, *, fitted: Mapping[str, Any] | None = None) -> Path:
        """Write it, all or nothing, into a file, or as decisions.json into a folder; says where.

        `fitted` is kept beside it, for people. Raises StorageError if it cannot be written.
        """
        file = Path(path)
        if file.is_dir():
            file /= FILE
        document = {"temperatures": self.temperatures, "fitted": fitted or {}}
        text = json.dumps(document, indent=2, default=dict) + "\n"
        try:
            handle, partial = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    stream.write(text)
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(partial).chmod(0o644)
                Path(partial).replace(file)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageError(
                f"{file} could not be written: {error.strerror or error}. Choose another place "
                "with --out, and name it with --calibration when deciding"
            ) from error
        return file


def soften(log_p: Sequence[float], temperature: float) -> list[float]:
    """Probabilities proportional to exp(log_p / temperature)."""
    scaled = [value / temperature for value in log_p]
    top = max(scaled)
    weights = [math.exp(value - top) for value in scaled]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
