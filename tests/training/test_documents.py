"""One random canvas of each example, over its prompt and the canvases before it; each epoch all."""

import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.training.test_sources import opened, write

from canvaslm.diffusion.noise import UniformNoise
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.batch import Batch
from canvaslm.training.data.documents import Documents, Stream
from canvaslm.training.data.order import Order
from canvaslm.training.data.passage import Passage, choose
from canvaslm.training.data.sources import Generated, Pairs


def pairs(path: Path, count: int) -> Pairs:
    lines = [
        json.dumps({"prompt": f"{n}?", "answer": f"{n} yes " * (1 + n % 5)}) for n in range(count)
    ]
    return Pairs(path=write(path, *lines))


def test_an_epoch_draws_every_example_once() -> None:
    order = Order(23, seed=5, held_out=3)
    epochs = [[order.draw(20 * epoch + n) for n in range(20)] for epoch in (0, 1)]
    assert {epoch for epoch, _ in epochs[1]} == {1}
    first, second = ([index for _, index in draws] for draws in epochs)
    assert sorted(first) == sorted(second) == sorted(set(range(23)) - set(order.held_out))
    assert first != second
    assert first == [Order(23, seed=5, held_out=3).draw(n)[1] for n in range(20)]
    assert first != [Order(23, seed=6, held_out=3).draw(n)[1] for n in range(20)]


def test_every_canvas_is_as_likely_and_sees_what_lies_before_it() -> None:
    rng, prompt, answer = random.Random(0), [7, 7], [*range(20)]
    passages = [Passage(prompt=[9], answer=[1, 2]), Passage(prompt=prompt, answer=answer)]
    seen = Counter()
    for _ in range(4000):
        case = choose(passages, rng, length=8, most=9)
        seen[len(case.prefix)] += 1
        if len(case.prefix) > 1:
            before = len(case.prefix) - len(prompt)
            assert case.prefix == [*prompt, *answer[:before]]
            assert case.clean == answer[before : before + 8]
    assert sorted(seen) == [1, 2, 10, 18]
    assert all(abs(count - 1000) < 5 * math.sqrt(750) for count in seen.values())


def test_a_rolling_text_shows_so_many_canvases_at_most() -> None:
    text, rng = Passage(prompt=[99], answer=[*range(64)], rolling=True), random.Random(0)
    for _ in range(100):
        case = choose([text], rng, length=8, most=3)
        assert len(case.prefix) <= 1 + 2 * 8
        assert case.prefix[0] == 99
        assert [*case.prefix[1:], *case.clean][-1] == case.clean[0] + 7


def test_canvases_end_in_eos_and_the_causal_loss_does_not(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    feed = opened(tokenizer, pairs(tmp_path / "x.jsonl", 12), documents=12)
    (micro,) = feed.micros(0)
    batch, eos = micro.batch, tokenizer.token_id("<eos>")
    for row, canvas in enumerate(batch.clean_RL.tolist()):
        prefix, marked = int(batch.prefix_B[row]), batch.causal_BN[row]
        own = int(marked.sum()) + 1 - prefix
        assert batch.documents_BN[row, prefix : prefix + own].tolist() == canvas[:own]
        assert canvas[own:] == [eos] * (8 - own)


def test_the_same_step_is_the_same_and_accumulation_only_regroups(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    source = pairs(tmp_path / "x.jsonl", 30)
    whole = opened(tokenizer, source, documents=12).micros(3)
    again = opened(tokenizer, source, documents=12)
    again.micros(0)
    assert_equal(whole[0].batch, again.micros(3)[0].batch)
    parts = opened(tokenizer, source, documents=4, accumulate=3).micros(3)
    assert len(parts) == 3
    assert torch.equal(
        torch.cat([part.batch.noised_RL for part in parts]), whole[0].batch.noised_RL
    )
    assert sum(part.canvas_weight for part in parts) == pytest.approx(1)
    assert sum(part.causal_weight for part in parts) == pytest.approx(1)


def assert_equal(one: Batch, other: Batch) -> None:
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name])


def test_held_out_examples_are_never_learnt(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = pairs(tmp_path / "x.jsonl", 20)
    feed = opened(tokenizer, source, documents=4, held_out=0.2)
    held = {n for micro in feed.held_out(9) for n in asked(tokenizer, micro.batch)}
    learnt = {n for step in range(12) for m in feed.micros(step) for n in asked(tokenizer, m.batch)}
    assert (len(held), len(learnt)) == (4, 16)
    assert not held & learnt
    assert_equal(feed.held_out(9)[0].batch, feed.held_out(9)[0].batch)


def asked(tokenizer: Tokenizer, batch: Batch) -> list[str]:
    """The numbers that the prompts of a batch ask for."""
    return [tokenizer.decode(row).partition("?")[0] for row in batch.documents_BN.tolist()]


def test_the_noise_is_the_samplers(tokenizer: Tokenizer) -> None:
    feed = opened(tokenizer, Generated(task="ask", count=5), noises=3000)
    assert isinstance(feed, Stream)
    assert isinstance(feed.noise, UniformNoise)
    clean = torch.full((8,), 399)
    noised, sighted = feed.corrupt(clean, 1)
    share = (noised != clean).float().mean(dim=1)
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert sighted.float().mean() == pytest.approx(0.5, abs=0.04)
    assert (int(noised.min()), int(noised.max())) == (0, 399)


def test_generated_examples_differ_in_every_epoch(tokenizer: Tokenizer) -> None:
    feed = opened(tokenizer, Generated(task="ask", count=4), documents=4)
    first, second = (feed.micros(epoch)[0].batch.documents_BN for epoch in (0, 1))
    assert first.shape != second.shape or not torch.equal(first, second)


@pytest.mark.parametrize(
    "changes", [{"sources": ()}, {"documents": 0}, {"held_out": 1.0}, {"canvas_length": 0}]
)
def test_documents_that_cannot_be_drawn_are_refused(changes: dict[str, object]) -> None:
    from canvaslm.errors import TrainingError

    settings: dict[str, object] = {"sources": (Generated(task="ask", count=1),)}
    with pytest.raises(TrainingError):
        Documents(**(settings | changes))  # type: ignore[arg-type]
