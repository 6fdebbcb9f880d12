"""What the denoiser thought of each token, by hand-made steps and on a whole canvas."""

from collections.abc import Sequence

import pytest
import torch

from canvaslm import LM
from canvaslm.diffusion.loop import Seat, settle
from canvaslm.diffusion.statistics import Statistics
from canvaslm.diffusion.step import Outcome, Sampler
from canvaslm.diffusion.temperature import LinearTemperature
from canvaslm.engine.diffuse import CanvasModel, counter_draws
from canvaslm.engine.job import Job
from canvaslm.engine.params import Params
from canvaslm.engine.scoring.recorders import LastStep, Path, all_of

A, B, C = 0, 1, 2


def step(p: Sequence[Sequence[float]], canvas: Sequence[int], accepted: Sequence[bool]) -> Outcome:
    probabilities = torch.tensor([p])
    doubt, best = torch.zeros(1, len(canvas)), probabilities.argmax(dim=-1)
    return Outcome(
        known=Statistics(probabilities, probabilities, doubt, best),
        entropy=doubt,
        best=best,
        accepted=torch.tensor([accepted]),
        canvas=torch.tensor([canvas]),
        settled=torch.tensor([False]),
    )


def logs(*p: float) -> torch.Tensor:
    return torch.tensor(p).log()


ONE = step([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.4, 0.3, 0.3]], [A, A, B], [True, True, False])
TWO = step([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]], [A, B, B], [True, True, True])
THREE = step([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], [A, C, C], [True, False, True])
FOUR = step([[0.8, 0.1, 0.1], [0.05, 0.9, 0.05], [0.0, 0.0, 1.0]], [B, B, C], [False, True, True])


def test_the_path_is_where_each_token_came_to_stay() -> None:
    recorder = Path(top=2)
    seen = []
    for outcome in (ONE, TWO, THREE, FOUR):
        recorder(outcome)
        assert recorder.picked is not None
        seen.append(recorder.picked)
    torch.testing.assert_close(seen[0].logprob, logs(0.5, 0.6, 0.4))  # committed at once
    # held since step 1; lost to another token; first held now
    torch.testing.assert_close(seen[1].logprob, logs(0.5, 0.6, 0.8))
    torch.testing.assert_close(seen[2].logprob, logs(0.5, 0.6, 0.8))
    # held since step 1, whatever the last draw; re-noised in step 3; held since step 3
    torch.testing.assert_close(seen[3].logprob, logs(0.5, 0.9, 0.8))
    assert seen[3].top_ids.tolist() == [[A, B], [B, A], [C, A]]
    torch.testing.assert_close(seen[3].top[0], logs(0.5, 0.3))


def test_the_denoiser_is_the_last_step() -> None:
    recorder = LastStep(top=1)
    for outcome in (ONE, TWO, THREE):
        recorder(outcome)
    assert recorder.picked is not None
    torch.testing.assert_close(recorder.picked.logprob, logs(0.9, 0.7, 0.8))
    assert recorder.picked.top_ids.tolist() == [[A], [B], [C]]


@pytest.mark.parametrize("steps", [1, 5])
def test_they_watch_a_canvas_settle(lm: LM, steps: int) -> None:
    path, last = Path(top=0), LastStep(top=0)
    seen: list[Outcome] = []

    def watch(outcome: Outcome) -> None:
        for each in (path, last, seen.append):
            each(outcome)

    job = Job(prompt=(5, 6), params=Params(), seed=3, eos_ids=frozenset())
    sampler = Sampler(temperature=LinearTemperature(max_steps=steps))
    with torch.inference_mode(), lm.prefill([5, 6]) as prefix:
        seat = Seat(row=0, sampler=sampler, watch=watch)
        model = CanvasModel(lm.network, [prefix])
        *_, end = settle(model, [seat], counter_draws(lm.network, [job]), canvas=0)
    assert path.picked is not None
    assert last.picked is not None
    chosen = all_of(seen[-1]).gather(-1, end.best[0, :, None])[:, 0].log()
    torch.testing.assert_close(last.picked.logprob, chosen)
    possible = torch.stack([all_of(o).gather(-1, end.best[0, :, None])[:, 0].log() for o in seen])
    assert (path.picked.logprob == possible).any(dim=0).all()
