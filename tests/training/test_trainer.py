"""A run learns, goes on bit by bit after a restore, and is never saved half updated."""

import signal

import pytest
import torch
from tests.training.conftest import tiny_recipe

from canvaslm.errors import TrainingError
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.trainer import Trainer

CPU = torch.device("cpu")


def test_the_loss_falls(tokenizer: Tokenizer) -> None:
    trainer = Trainer(tiny_recipe(steps=60, decay=0.0), tokenizer, device=CPU)
    records = [trainer.advance() for _ in range(40)]
    first, last = (sum(r["ask/canvas"] for r in part) for part in (records[:5], records[-5:]))
    assert last < 0.6 * first


def test_a_restored_run_goes_on_bit_by_bit(tokenizer: Tokenizer) -> None:
    whole = Trainer(tiny_recipe(), tokenizer, device=CPU)
    for _ in range(3):
        whole.advance()
    other = Trainer(tiny_recipe(), tokenizer, device=CPU)
    other.restore({n: t.clone() for n, t in whole.state().items()}, whole.step)
    for _ in range(3):
        one, two = whole.advance(), other.advance()
        timing = {"seconds", "tokens_per_second", "operations_per_second"}
        assert {k: v for k, v in one.items() if k not in timing} == {
            k: v for k, v in two.items() if k not in timing
        }
    mine, theirs = whole.state(), other.state()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_an_update(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    whole, stopped = (Trainer(tiny_recipe(), tokenizer, device=CPU) for _ in range(2))
    whole.advance()
    last = stopped.optimisers[-1]
    step = last.step

    def interrupted() -> None:
        signal.raise_signal(number)
        step()

    monkeypatch.setattr(last, "step", interrupted)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            stopped.advance()
    finally:
        signal.signal(number, before)
    assert stopped.step == 1
    mine, theirs = whole.state(), stopped.state()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_state_of_another_model_is_refused(tokenizer: Tokenizer) -> None:
    small = Trainer(tiny_recipe(), tokenizer, device=CPU)
    large = Trainer(tiny_recipe(hidden_size=96), tokenizer, device=CPU)
    with pytest.raises(TrainingError, match="another model"):
        large.restore(small.state(), 0)


def test_a_loss_that_is_not_finite_stops_the_run(tokenizer: Tokenizer) -> None:
    trainer = Trainer(tiny_recipe(), tokenizer, device=CPU)
    with torch.no_grad():
        trainer.model.norm.weight.fill_(float("nan"))  # type: ignore[union-attr]
    before = trainer.state()["average.embedding"].clone()
    with pytest.raises(TrainingError, match="not finite at step 0"):
        trainer.advance()
    assert torch.equal(trainer.state()["average.embedding"], before)


def test_bfloat16_products_give_nearly_the_same_losses(tokenizer: Tokenizer) -> None:
    full = Trainer(tiny_recipe(), tokenizer, device=CPU).advance()
    half = Trainer(tiny_recipe(bfloat16=True), tokenizer, device=CPU).advance()
    assert half["ask/canvas"] == pytest.approx(full["ask/canvas"], rel=0.02)
    assert half["ask/canvas"] != full["ask/canvas"]


def test_other_weights_are_shown_for_a_while(tokenizer: Tokenizer) -> None:
    trainer = Trainer(tiny_recipe(), tokenizer, device=CPU)
    trainer.advance()
    own, mean = trainer.model.embedding.detach().clone(), trainer.weights()["embedding"]
    with trainer.showing(trainer.weights()):
        assert torch.equal(trainer.model.embedding, mean)
    assert torch.equal(trainer.model.embedding, own)
    assert not torch.equal(own, mean)
