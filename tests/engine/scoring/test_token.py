"""Log-probabilities as tensors, and as a caller reads them."""

import math

import pytest
import torch

from canvaslm import LM
from canvaslm.engine.scoring.token import TokenLogprob, join, pick_logits, pick_probabilities
from canvaslm.errors import MissingTokenizerError


@pytest.mark.parametrize("vocab_size", [7, 262_144])
def test_float32_is_close_to_float64(vocab_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, vocab_size, generator=generator, dtype=torch.float64) * 8
    ids = torch.randint(vocab_size, (6,), generator=generator)
    exact = logits.float().double().log_softmax(dim=-1).gather(-1, ids[:, None])[:, 0]
    picked = pick_logits(logits.float(), ids, top=0)
    torch.testing.assert_close(picked.logprob.double(), exact, rtol=1e-6, atol=4e-6)


def test_the_likeliest_come_best_first_and_hold_the_best() -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    best = logits.argmax(dim=-1)
    picked = pick_logits(logits, best, top=4)
    assert torch.equal(picked.top_ids[:, 0], best)
    assert torch.equal(picked.top[:, 0], picked.logprob)
    assert torch.equal(picked.top, picked.top.sort(dim=-1, descending=True).values)
    everything = pick_logits(logits, best, top=40)
    torch.testing.assert_close(everything.top.exp().sum(dim=-1), torch.ones(5))


def test_probabilities_give_what_their_logits_give() -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(2))
    ids = torch.arange(5)
    for a, b in zip(
        pick_logits(logits, ids, top=3),
        pick_probabilities(logits.softmax(dim=-1), ids, top=3),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_what_cannot_be_is_minus_infinity() -> None:
    picked = pick_probabilities(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), top=0)
    assert picked.logprob.item() == -math.inf


def test_parts_join_and_are_cut() -> None:
    logits, ids = torch.randn(6, 9), torch.arange(6)
    whole = pick_logits(logits, ids, top=2)
    parts = join([pick_logits(logits[i : i + 2], ids[i : i + 2], top=2) for i in (0, 2, 4)])
    for a, b, cut in zip(whole, parts, whole.keep(4), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a[:4], cut)


def test_a_token_is_spelled_when_asked(talker: LM) -> None:
    [id] = talker.tokenizer.encode("a")
    token = TokenLogprob(token_id=id, logprob=-1.5, tokenizer=talker.tokenizer)
    assert (token.text, token.token_bytes) == ("a", b"a")
    assert token == TokenLogprob(token_id=id, logprob=-1.5)
    with pytest.raises(MissingTokenizerError):
        _ = TokenLogprob(token_id=id, logprob=-1.5).text
