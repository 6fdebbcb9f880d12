"""Methods: what each one asks the model."""

from dataclasses import dataclass, field
from typing import Any

from canvaslm.engine.params import Mode, Params
from canvaslm.engine.result import Result, Usage
from canvaslm.eval.infill_fill import METHODS, Filling, fills
from canvaslm.tasks.code import completion_prompt, fill_prompt
from canvaslm.text.spans import Answer


@dataclass
class FakeInfilled:
    text: str = "gap"
    gap_tokens: int = 3
    steps: int = 2
    seconds: float = 0.25


@dataclass
class FakeModel:
    asked: list[Any] = field(default_factory=list)

    def infill(
        self, prefix: str, suffix: str, *, max_gap: int, params: Params | None
    ) -> FakeInfilled:
        self.asked.append((prefix, suffix, max_gap, params))
        return FakeInfilled()

    def generate(self, prompt: str, *, params: Params | None, mode: Mode) -> Result:
        self.asked.append((prompt, params, mode))
        usage = Usage(prompt_tokens=1, completion_tokens=5, canvases=0, steps=5, seconds=1.5)
        return Result(
            token_ids=(1,), finish_reason="stop", usage=usage, seed=0, spans=[Answer("rest ")]
        )


def test_infill_is_given_both_sides() -> None:
    model = FakeModel()
    filling = fills(model, seed=4)["infill"]("before\n", "\nafter", 16)
    assert filling == Filling(text="gap", tokens=3, steps=2, seconds=0.25)
    assert model.asked == [("before\n", "\nafter", 16, Params(seed=4))]


def test_left_to_right_is_asked_without_and_with_the_suffix_and_taken_raw() -> None:
    model = FakeModel()
    methods = fills(model, seed=4)
    for name in ("completion", "prompt"):
        filling = methods[name]("before\n", "\nafter", 16)
        assert filling == Filling(text="rest ", tokens=5, steps=5, seconds=1.5)
    params = Params(max_tokens=17, seed=4)
    assert model.asked == [
        (completion_prompt("before\n"), params, "ar"),
        (fill_prompt("before\n", "\nafter"), params, "ar"),
    ]


def test_only_the_methods_asked_for_are_there() -> None:
    assert tuple(fills(FakeModel())) == METHODS
    assert tuple(fills(FakeModel(), ["prompt"])) == ("prompt",)
