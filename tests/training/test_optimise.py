"""Every optimiser descends, every schedule keeps its bounds, accumulation changes nothing."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.conftest import tiny_recipe
from tests.training.test_documents import pairs

from canvaslm.errors import TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.documents import Documents
from canvaslm.training.optimise.choose import Adafactor, AdamW, MuonAdamW, Optimise
from canvaslm.training.optimise.schedule import Constant, Cosine, Linear, Schedule
from canvaslm.training.trainer import Trainer

CPU = torch.device("cpu")


@given(
    st.sampled_from([Constant, Linear, Cosine]),
    st.integers(1, 300),
    st.integers(0, 50),
    st.floats(0, 1),
)
def test_a_schedule_rises_and_never_rises_again(
    kind: type, steps: int, warmup: int, floor: float
) -> None:
    schedule: Schedule = (
        kind(warmup=warmup) if kind is Constant else kind(warmup=warmup, floor=floor)
    )
    rates = [schedule.rate(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = min(max(warmup - 1, 0), steps - 1)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if kind is not Constant and steps > warmup:
        assert rates[-1] >= floor - 1e-9


@pytest.mark.parametrize("optimise", [AdamW(lr=3e-3), Adafactor(lr=0.02), MuonAdamW()])
def test_the_loss_falls_and_a_restored_run_is_the_same(
    tokenizer: Tokenizer, optimise: Optimise
) -> None:
    recipe = tiny_recipe(optimise=optimise, schedule=Constant(warmup=2), ema=None)
    trainer = Trainer(recipe, tokenizer, device=CPU)
    losses = [trainer.advance()["ask/canvas"] for _ in range(16)]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    other = Trainer(recipe, tokenizer, device=CPU)
    other.restore({name: t.clone() for name, t in trainer.state().items()}, trainer.step)
    trainer.advance()
    other.advance()
    mine, theirs = trainer.state(), other.state()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_lean_optimiser_keeps_hardly_any_numbers(tokenizer: Tokenizer) -> None:
    sizes = {}
    for optimise in (AdamW(), Adafactor()):
        trainer = Trainer(tiny_recipe(optimise=optimise, ema=None), tokenizer, device=CPU)
        trainer.advance()
        kept = (t.numel() for n, t in trainer.state().items() if n.startswith("optimiser."))
        sizes[type(optimise)] = sum(kept) / sum(p.numel() for p in trainer.parameters.values())
    assert sizes[AdamW] > 1.9
    assert sizes[Adafactor] < 0.1


def test_accumulation_learns_what_one_large_batch_learns(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    source, records = pairs(tmp_path / "x.jsonl", 40), []
    for documents, accumulate in ((12, 1), (3, 4)):
        data = Documents(
            sources=(source,), documents=documents, accumulate=accumulate, canvas_length=8
        )
        trainer = Trainer(tiny_recipe(data=data), tokenizer, device=CPU)
        records.append([trainer.advance() for _ in range(3)])
    for one, other in zip(*records, strict=True):
        for key in ("documents/causal", "documents/canvas", "documents/accuracy", "norm"):
            assert one[key] == pytest.approx(other[key], rel=1e-3)


def test_what_is_computed_again_is_the_same(tokenizer: Tokenizer) -> None:
    plain, again = (
        Trainer(tiny_recipe(recompute=recompute), tokenizer, device=CPU)
        for recompute in (False, True)
    )
    for _ in range(2):
        one, other = plain.advance(), again.advance()
        assert one["norm"] == pytest.approx(other["norm"], rel=1e-5)
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


def test_recomputing_keeps_less(tokenizer: Tokenizer) -> None:
    kept = {}
    for recompute in (False, True):
        trainer, sizes = Trainer(tiny_recipe(recompute=recompute), tokenizer, device=CPU), [0]

        def pack(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            trainer.learn(trainer.feed.micros(0)[1])
        kept[recompute] = sizes[0]
    assert kept[True] < 0.5 * kept[False]


def test_weights_and_optimiser_stay_in_float32(tokenizer: Tokenizer) -> None:
    trainer = Trainer(tiny_recipe(bfloat16=True), tokenizer, device=CPU)
    trainer.advance()
    kinds = {t.dtype for n, t in trainer.state().items() if n != "watch"}
    assert kinds == {torch.float32}


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda: AdamW(lr=0), "lr must be positive"),
        (lambda: Adafactor(lr=-1), "lr must be positive"),
        (lambda: Cosine(floor=2), "floor in"),
        (lambda: Linear(warmup=-1), "warmup >= 0"),
    ],
)
def test_settings_out_of_range_are_refused(make: object, wanted: str) -> None:
    with pytest.raises(TrainingError, match=wanted):
        make()  # type: ignore[operator]
