"""One of several processes that make tiny runs: `several.py JSON`, with torchrun's variables."""

import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.training.conftest import tiny_recipe

from canvaslm.errors import CanvasError
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Micro
from canvaslm.training.data.tasks import Mixture
from canvaslm.training.distil.data import Fewer
from canvaslm.training.launch import launched
from canvaslm.training.loop import train
from canvaslm.training.optimise.choose import Adafactor, AdamW, MuonAdamW
from canvaslm.training.part import LowRank
from canvaslm.training.processes import Replicas
from canvaslm.training.recipe import Recipe, Watch
from canvaslm.training.start import Scratch
from canvaslm.training.trainer import Trainer

OPTIMISERS = {"AdamW": AdamW(lr=1e-3), "MuonAdamW": MuonAdamW(), "Adafactor": Adafactor()}


@dataclass(frozen=True, kw_only=True)
class Exact(Scratch):
    """A start in float64, so that rounding does not grow."""

    def network(self, tokenizer: Tokenizer, *, seed: int) -> Transformer:
        return super().network(tokenizer, seed=seed).double()


NEW = Mixture(tasks={"ask": 1.0}, documents=4, canvas_length=8)
OLD = Mixture(tasks={"scenes": 1.0}, documents=2, canvas_length=24, held=2.0)


def recipe_of(
    *,
    optimise: str = "MuonAdamW",
    exact: bool = True,
    held: Literal["noised", "walked"] | None = None,
    **changes: Any,
) -> Recipe:
    """`held`: an adapter that is held to its base on one of two tasks, on noised answers or on
    what its sampler makes of noise."""
    start = (Exact if exact else Scratch)(hidden_size=64, num_layers=3, vocab_size=400)
    if held:
        changes |= {"mixtures": (NEW, OLD), "part": LowRank(rank=4)}
    settings = {"steps": 4, "decay": 0.0, "watch": Watch(every=2, batches=1), "clip": 0.5}
    recipe = tiny_recipe(start=start, optimise=OPTIMISERS[optimise], **(settings | changes))
    if held == "walked":
        walked = replace(OLD, causal_share=0.0)
        return replace(recipe, data=Fewer(anchor=(NEW,), walked=(walked,), certainty=0.0))
    return recipe


def fails(micros: object) -> list[Micro]:
    raise CanvasError("the reason of it all")


def poison(at: int) -> None:
    """From this step on the losses of this process are no numbers."""
    learn = Trainer.learn

    def poisoned(self: Trainer, micro: Micro) -> dict[str, float]:
        found = learn(self, micro)
        return found | {"canvas": math.nan} if self.step >= at else found

    Trainer.learn = poisoned  # type: ignore[method-assign]


def main(
    jobs: list[dict[str, Any]], *, sharded: bool = False, fail: bool = False, nan: int | None = None
) -> None:
    torch.set_num_threads(1)
    with launched(sharded=sharded) as group:
        if fail and isinstance(group, Replicas) and group.rank == 1:
            group.share = fails  # type: ignore[method-assign]
        if nan is not None and isinstance(group, Replicas) and group.rank == 1:
            poison(nan)
        for job in jobs:
            out, resume = Path(job.pop("out")), job.pop("resume", False)
            way = job.pop("way", "plain")
            train(recipe_of(**job), out, resume=resume, way=way, group=group)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
