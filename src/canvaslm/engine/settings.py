"""The checkpoint's generation settings, and the sampler they and a request's parameters make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from canvaslm.diffusion.choose import Choose, Drawn, Filtered, Likeliest
from canvaslm.diffusion.hold import Hold
from canvaslm.diffusion.skip import Skip
from canvaslm.diffusion.step import Sampler
from canvaslm.engine.checks import check_integer
from canvaslm.engine.efforts import PRESETS, Numbers, Plan, Preset
from canvaslm.engine.params import Effort, Params
from canvaslm.errors import ConfigError, ParameterError
from canvaslm.model.config import ModelConfig

ENTROPY_BOUND = "EntropyBoundSamplerConfig"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What generation_config.json says; what it leaves out is the published sampler's.

    `presets` are what each `effort` makes of it.
    """

    eos_ids: frozenset[int]
    max_steps: int = 48
    entropy_bound: float = 0.1
    t_min: float = 0.4
    t_max: float = 0.8
    stability: int = 1
    confidence: float = 0.005
    presets: Mapping[Effort, Preset] = field(default_factory=lambda: PRESETS, repr=False)

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
        preset = self.presets[params.effort or "reference"]
        if params.stability is not None or params.confidence is not None:
            preset = preset.without_shortcuts()
        if params.hold_settled and preset.plan.mend is not None:
            raise ParameterError(
                f"hold_settled lets text leave that effort={params.effort!r} may still replace, as "
                "it drafts settled canvases again: leave one of them out"
            )
        factor = params.temperature or 1.0  # at 0 entropies are those of the schedule

        def chosen(name: str) -> Any:
            value = getattr(params, name)
            if value is None:
                value = getattr(self, name)
            return value * factor if name in ("t_min", "t_max") else value

        numbers = Numbers(**{f.name: chosen(f.name) for f in fields(Numbers)})
        if params.max_steps is None:
            numbers = replace(numbers, max_steps=preset.steps(self.max_steps))
        sampler = preset.sampler(numbers, choose=choose(params), end_ids=self.eos_ids)
        return replace(
            sampler,
            skip=Skip() if params.skip_settled else None,
            hold=Hold() if params.hold_settled else None,
        )

    def plan(self, params: Params) -> Plan:
        """What is done about the canvases of one request beyond their steps."""
        return self.presets[params.effort or "reference"].plan


def choose(params: Params) -> Choose:
    """How candidates are taken. The likeliest token passes every filter, so that at temperature 0
    none changes anything."""
    if params.greedy:
        return Likeliest()
    filters = read_filters(params)
    return Drawn() if filters is None else filters


def read_filters(params: Params) -> Filtered | None:
    """The filters of the draw; None: there are none."""
    filters = Filtered(top_k=params.top_k, top_p=params.top_p, min_p=params.min_p)
    return None if filters == Filtered() else filters


def read_eos(value: object) -> frozenset[int]:
    ids = value if isinstance(value, list | tuple) else [value]
    for id in ids:
        check_integer("eos_token_id", id, least=0)
    return frozenset(ids)
