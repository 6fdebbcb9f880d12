"""The score of a text."""

import math

import pytest
import torch

import canvaslm
from canvaslm import LM
from canvaslm.errors import ContextLengthError, MissingTokenizerError, ParameterError

IDS = [5, 9, 20, 31, 40, 77, 120]


def test_every_token_but_the_first_is_scored(lm: LM) -> None:
    scores = lm.score(IDS, top=2)
    logp = lm.causal_logits(IDS)[0].double().log_softmax(dim=-1)
    expected = [float(logp[i, id]) for i, id in enumerate(IDS[1:])]
    assert scores.given == (5,)
    assert [token.token_id for token in scores.tokens] == IDS[1:]
    assert [token.logprob for token in scores.tokens] == pytest.approx(expected, abs=1e-4)
    assert scores.sum == pytest.approx(sum(expected), abs=1e-3)
    assert scores.mean == pytest.approx(sum(expected) / 6, abs=1e-4)
    assert scores.perplexity == pytest.approx(math.exp(-sum(expected) / 6), rel=1e-3)
    for i, token in enumerate(scores.tokens):
        assert [id for id, _ in token.top] == logp[i].topk(2).indices.tolist()
    assert (scores.bytes, scores.bits_per_byte) == (None, None)
    assert lm.pool.in_use == 0


def test_a_continuation_is_the_difference_of_two_texts(talker: LM) -> None:
    prompt = talker.tokenizer.render([{"role": "user", "content": "a circle"}])
    said = talker.tokenizer.encode("and a square")
    scores = talker.score("a circle", continuation="and a square")
    assert scores.given == tuple(prompt)
    assert [token.token_id for token in scores.tokens] == said
    difference = talker.score([*prompt, *said]).sum - talker.score(prompt).sum
    assert scores.sum == pytest.approx(difference, abs=1e-3)
    assert scores == talker.score(prompt, continuation=said)
    assert scores.bytes == len("and a square")
    assert scores.bits_per_byte == pytest.approx(-scores.sum / math.log(2) / 12)


def test_text_alone_stands_after_bos_and_is_no_turn(talker: LM) -> None:
    text = "a <turn|> é"
    scores = talker.score(text)
    assert scores.given == (talker.tokenizer.bos_id,)
    assert b"".join(token.token_bytes for token in scores.tokens).decode() == text
    assert talker.tokenizer.special_ids.isdisjoint(token.token_id for token in scores.tokens)
    assert scores.bytes == len(text.encode())


def test_messages_are_scored_with_their_template(talker: LM) -> None:
    messages = [{"role": "user", "content": "a circle"}]
    scores = talker.score(messages)
    ids = talker.tokenizer.render(messages)
    assert [*scores.given, *(token.token_id for token in scores.tokens)] == ids
    assert scores.bytes == len(talker.tokenizer.text_bytes(ids[1:]))


@pytest.mark.parametrize(
    ("prompt", "options", "reason"),
    [
        ([5], {}, "nothing to score in 1 token"),
        ([], {}, "nothing to score"),
        (IDS, {"continuation": []}, "continuation is empty"),
        ([], {"continuation": [5]}, "at least 1 token"),
        (IDS, {"continuation": [300]}, r"\[0, 300\)"),
        (IDS, {"top": 301}, r"top must be in \[0, 301\)"),
        (IDS, {"top": -1}, "top"),
        (IDS, {"top": True}, "top"),
        (3, {}, "a prompt must be"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    lm: LM, prompt: object, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(ParameterError, match=reason):
        lm.score(prompt, **options)


def test_text_needs_a_tokenizer(lm: LM, talker: LM) -> None:
    for prompt, continuation in (("a", None), (IDS, "a")):
        with pytest.raises(MissingTokenizerError):
            lm.score(prompt, continuation=continuation)
    with pytest.raises(ParameterError, match="text is empty"):
        talker.score("")
    with pytest.raises(ParameterError, match="continuation is empty"):
        talker.score("a", continuation="")


def test_the_context_is_a_limit(lm: LM) -> None:
    assert len(lm.score([5] * 192).tokens) == 191
    with pytest.raises(ContextLengthError, match="193 tokens"):
        lm.score([5] * 193)
    with pytest.raises(ContextLengthError, match="193 tokens"):
        lm.score([5] * 190, continuation=[5] * 3)


def test_the_embedded_model_knows_a_right_answer() -> None:
    lm = canvaslm.load(device="cpu")
    prompt = "Draw: a large red circle in the middle."
    right = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96">'
    ids = lm.tokenizer.encode(right)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = [ids[i] for i in order]
    assert lm.score(prompt, continuation=ids).sum > lm.score(prompt, continuation=shuffled).sum
    assert lm.elbo(prompt, ids, samples=4).mean > lm.elbo(prompt, shuffled, samples=4).mean
