"""Evaluation: which cases, which requests, which counts."""

from collections.abc import Sequence

import pytest

from canvaslm import tasks
from canvaslm.engine.params import Mode, Params
from canvaslm.engine.result import Result, Usage
from canvaslm.errors import ParameterError, TaskError
from canvaslm.eval.run import Plan, evaluate, examples
from canvaslm.text.spans import Answer


class Oracle:
    """Answers from a list of right answers, every `wrong`-th one spoilt."""

    def __init__(self, plan: Plan, *, wrong: int = 0) -> None:
        self.answers = {example.prompt: example.answer for example in examples(plan)}
        self.wrong, self.calls = wrong, 0
        self.seen: list[tuple[Params, Mode, int]] = []

    def generate_many(
        self, prompts: Sequence[str], *, params: Params, mode: Mode, batch: int
    ) -> list[Result]:
        self.seen.append((params, mode, len(prompts)))
        return [self.answer(prompt, mode) for prompt in prompts]

    def answer(self, prompt: str, mode: Mode) -> Result:
        self.calls += 1
        spoilt = self.wrong and self.calls % self.wrong == 0
        return Result(
            token_ids=(1,),
            finish_reason="stop",
            usage=Usage(
                prompt_tokens=3,
                completion_tokens=20,
                canvases=0 if mode == "ar" else 1,
                steps=20 if mode == "ar" else 4,
                seconds=1.0,
            ),
            seed=0,
            spans=[Answer("" if spoilt else self.answers[prompt])],
        )


class Clock:
    """A second passes with every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_cases_are_held_out_and_spread_over_the_bins() -> None:
    chosen = examples(Plan(task="scenes", n=10))
    assert all(tasks.split_of(example.canonical) == "test" for example in chosen)
    bins = [example.bin for example in chosen]
    assert {name: bins.count(name) for name in bins} == {"1": 3, "2": 3, "3": 2, "4": 2}


@pytest.mark.parametrize("task", ["scenes", "ask", "json"])
def test_more_cases_contain_the_fewer(task: str) -> None:
    few, many = (examples(Plan(task=task, n=n, seed=4)) for n in (5, 12))
    assert many[:5] == few


def test_cases_do_not_depend_on_the_mode_and_do_on_the_seed() -> None:
    def cases(**options: object) -> list[tasks.Example]:
        return examples(Plan(task="scenes", n=4, **options))  # type: ignore[arg-type]

    assert cases(mode="ar") == cases(mode="one-shot") == cases()
    assert cases(seed=1) != cases()


def test_a_bin_alone_has_the_same_cases_as_among_the_others() -> None:
    alone = examples(Plan(task="scenes", n=3, bin="2"))
    among = [e for e in examples(Plan(task="scenes", n=12)) if e.bin == "2"]
    assert alone == among


def test_counts_scores_steps_and_speed() -> None:
    plan = Plan(task="scenes", n=8, batch=4)
    report = evaluate(Oracle(plan, wrong=4), plan, clock=Clock())
    assert report.total.n == 8
    assert report.total.score == 6 / 8
    assert report.total.steps_per_canvas == 4
    assert report.total.tokens_per_forward == 5
    assert sum(row.n * row.score for row in report.bins.values()) == 6
    # Two groups of four, each a second long by this clock.
    assert report.seconds == 2
    assert report.tokens_per_second == 8 * 20 / 2


@pytest.mark.parametrize(
    ("mode", "engine_mode", "max_steps", "groups"),
    [
        ("diffusion", "diffusion", None, (2, 1)),
        ("one-shot", "diffusion", 1, (2, 1)),
        ("ar", "ar", None, (1, 1, 1)),
    ],
)
def test_a_mode_decides_how_the_model_is_asked(
    mode: str, engine_mode: str, max_steps: int | None, groups: tuple[int, ...]
) -> None:
    plan = Plan(task="scenes", n=3, mode=mode, seed=6, batch=groups[0])  # type: ignore[arg-type]
    oracle = Oracle(plan)
    report = evaluate(oracle, plan)
    expected = Params(max_tokens=256, seed=6, max_steps=max_steps)
    assert oracle.seen == [(expected, engine_mode, size) for size in groups]
    assert (report.total.steps_per_canvas is None) == (mode == "ar")


def test_progress_tells_cases_done_and_right() -> None:
    plan = Plan(task="scenes", n=4, batch=2)
    told: list[tuple[int, int]] = []
    evaluate(Oracle(plan, wrong=4), plan, progress=lambda done, right: told.append((done, right)))
    assert told == [(2, 2), (4, 3)]


def test_a_wrong_plan_is_refused() -> None:
    with pytest.raises(TaskError, match="chess"):
        Plan(task="chess")
    with pytest.raises(TaskError, match="no bin '9'"):
        Plan(task="scenes", bin="9")
    with pytest.raises(ParameterError, match="n must be"):
        Plan(task="scenes", n=0)
    with pytest.raises(ParameterError, match="batch"):
        Plan(task="scenes", batch=0)
    with pytest.raises(ParameterError, match="one at a time"):
        Plan(task="scenes", mode="ar", batch=2)
    with pytest.raises(ParameterError, match="sideways"):
        Plan(task="scenes", mode="sideways")  # type: ignore[arg-type]


def test_an_effort_goes_to_every_request() -> None:
    assert Plan(task="sudoku", effort="fast").params.effort == "fast"
    with pytest.raises(ParameterError, match="effort"):
        Plan(task="sudoku", effort="fast", mode="ar")
