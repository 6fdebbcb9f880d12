"""transformers' generate with every random draw and every canvas written down, to play again."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from canvaslm.diffusion.statistics import Statistics


@dataclass
class Step:
    """One denoising step of the whole batch: its noise going in, its canvases coming out."""

    exponential: Tensor  # [B, L, V], what torch.multinomial divides the probabilities by
    noise: Tensor | None = None  # [B, L]
    canvas: Tensor | None = None  # [B, L], after the step
    best: Tensor | None = None  # [B, L]


@dataclass
class Canvas:
    start: Tensor  # [B, L]
    steps: list[Step] = field(default_factory=list)


@dataclass
class Recording:
    """A generate call, canvas by canvas; also the `Draws` that play it again."""

    inverts: ClassVar[bool] = False
    canvases: list[Canvas] = field(default_factory=list)
    sequences: Tensor | None = None

    def noise(self, rows: Sequence[int], *, canvas: int, step: int) -> Tensor:
        recorded = self.canvases[canvas]
        tokens = recorded.start if step == 0 else recorded.steps[step - 1].noise
        return tokens[list(rows)]

    def candidates(
        self, rows: Sequence[int], known: Statistics, *, canvas: int, step: int
    ) -> Tensor:
        exponential = self.canvases[canvas].steps[step - 1].exponential[list(rows)]
        return (known.p / exponential).argmax(dim=-1)


def multinomial(p: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
    """torch.multinomial for one sample, and the exponential noise it is made with."""
    assert num_samples == 1
    exponential = torch.empty_like(p).exponential_()
    return (p / exponential).argmax(dim=-1, keepdim=True), exponential


@contextmanager
def _recorded(model: Any, recording: Recording, patch: pytest.MonkeyPatch) -> Any:
    """Note what the draws and steps of `model.generate` give, without changing any."""
    randint, denoise = torch.randint, model._denoising_step

    def note_randint(*args: Any, **options: Any) -> Tensor:
        tokens = randint(*args, **options)
        steps = recording.canvases[-1].steps if recording.canvases else []
        if steps and steps[-1].noise is None:
            steps[-1].noise = tokens
        else:
            recording.canvases.append(Canvas(start=tokens))
        return tokens

    def note_multinomial(p: Tensor, num_samples: int) -> Tensor:
        chosen, exponential = multinomial(p, num_samples)
        start = recording.canvases[-1].start
        step = Step(exponential=exponential.view(*start.shape, -1))
        recording.canvases[-1].steps.append(step)
        return chosen

    def note_step(**options: Any) -> Any:
        canvas, best, logits, finished = denoise(**options)
        step = recording.canvases[-1].steps[-1]
        step.canvas, step.best = canvas.clone(), best.clone()
        return canvas, best, logits, finished

    with patch.context() as inside:
        inside.setattr(torch, "randint", note_randint)
        inside.setattr(torch, "multinomial", note_multinomial)
        inside.setattr(model, "_denoising_step", note_step)
        yield


def record(
    model: Any, ids: Tensor, *, seed: int, patch: pytest.MonkeyPatch, **options: Any
) -> Recording:
    """Run `model.generate` from this torch seed and write it down."""
    recording = Recording()
    torch.manual_seed(seed)
    with _recorded(model, recording, patch):
        recording.sequences = model.generate(ids, **options).sequences
    return recording
