"""The checkpoint's generation settings, and the sampler they and a request's parameters make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canvaslm.diffusion.accept import EntropyBound
from canvaslm.diffusion.step import Sampler
from canvaslm.diffusion.stop import StableAndConfident
from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.engine.params import Params, check_integer
from canvaslm.errors import ConfigError, ParameterError
from canvaslm.model.config import ModelConfig

ENTROPY_BOUND = "EntropyBoundSamplerConfig"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What generation_config.json says; what it leaves out is the published sampler's."""

    eos_ids: frozenset[int]
    max_steps: int = 48
    entropy_bound: float = 0.1
    t_min: float = 0.4
    t_max: float = 0.8
    stability: int = 1
    confidence: float = 0.005

    @classmethod
    def read(cls, generation: Mapping[str, Any], config: ModelConfig) -> Settings:
        """Raises ConfigError for a value that cannot be used or a sampler that is not known."""
        sampler = generation.get("sampler_config") or {}
        if not isinstance(sampler, Mapping) or sampler.get("_cls_name", ENTROPY_BOUND) != (
            ENTROPY_BOUND
        ):
            raise ConfigError(
                f"generation_config.json: sampler_config is {sampler!r}, expected one of class "
                f"{ENTROPY_BOUND}"
            )
        given: dict[str, Any] = {
            "max_steps": generation.get("max_denoising_steps"),
            "entropy_bound": sampler.get("entropy_bound"),
            "t_min": generation.get("t_min"),
            "t_max": generation.get("t_max"),
            "stability": generation.get("stability_threshold"),
            "confidence": generation.get("confidence_threshold"),
        }
        given = {name: value for name, value in given.items() if value is not None}
        eos = generation.get("eos_token_id")
        try:
            settings = cls(eos_ids=read_eos(config.eos_ids if eos is None else eos), **given)
            settings.sampler(Params(**given))
        except ParameterError as error:
            raise ConfigError(f"generation_config.json: {error}") from None
        return settings

    def sampler(self, params: Params) -> Sampler:
        """The rules of one request. Raises ParameterError where they contradict each other."""

        def chosen(name: str) -> Any:
            value = getattr(params, name)
            return getattr(self, name) if value is None else value

        return Sampler(
            temperature=LinearTemperature(
                t_min=chosen("t_min"), t_max=chosen("t_max"), max_steps=chosen("max_steps")
            ),
            accept=EntropyBound(bound=chosen("entropy_bound")),
            stop=StableAndConfident(stability=chosen("stability"), confidence=chosen("confidence")),
        )


def read_eos(value: object) -> frozenset[int]:
    ids = value if isinstance(value, list | tuple) else [value]
    for id in ids:
        check_integer("eos_token_id", id, least=0)
    return frozenset(ids)
