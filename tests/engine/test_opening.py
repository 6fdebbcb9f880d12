"""A prompt goes on from what is known of it, and the answer is the same to the bit."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from tests.engine.conftest import TINY

import canvaslm
from canvaslm import LM, Params, Result
from canvaslm.cache.known import Known, KnownStats
from canvaslm.cache.pages import Pool
from canvaslm.engine.lm import Cache
from canvaslm.engine.opening import SharedPrompt, encode_prompt
from canvaslm.engine.params import Mode
from canvaslm.engine.prompt import read_prompt
from canvaslm.errors import OutOfMemoryError

IDS = [id % 290 + 7 for id in range(0, 700, 3)]
SYSTEM = {"role": "system", "content": "You draw scenes as SVG, with as few shapes as you can."}
ASK = {"role": "user", "content": "Draw a red circle and a blue square above it."}
CHAT = [
    SYSTEM,
    ASK,
    {"role": "assistant", "content": '<svg><circle r="4" fill="red"/></svg>'},
    {"role": "user", "content": "Now make the circle green, please, and the square small."},
]
Messages = list[dict[str, str]]


@pytest.fixture(scope="module")
def embedded() -> LM:
    return canvaslm.load()


@pytest.fixture
def pocket(embedded: LM) -> Iterator[LM]:
    """The embedded model with an empty prefix cache."""
    embedded.pool.known = Known(embedded.pool)
    yield embedded
    assert embedded.pool.in_use == embedded.pool.known.pages
    embedded.pool.known.clear()
    assert embedded.pool.in_use == 0
    embedded.pool.known = None


def stats(pool: Pool) -> KnownStats:
    assert pool.known is not None
    return pool.known.stats


def alone(lm: LM, prompt: Messages, params: Params, mode: Mode) -> Result:
    """The answer without the cache."""
    known, lm.pool.known = lm.pool.known, None
    try:
        return lm.generate(prompt, params=params, mode=mode)
    finally:
        lm.pool.known = known


def turns(lm: LM, messages: Messages) -> list[int]:
    """How many tokens of a prompt stand up to the end of each message."""
    ids = read_prompt(messages, tokenizer=lm.tokenizer, config=lm.config)
    return [place + 1 for place, id in enumerate(ids) if id in lm.settings.eos_ids]


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_a_chat_encodes_only_its_new_turn(pocket: LM, mode: Mode) -> None:
    params = Params(max_tokens=24, seed=5)
    for messages, known in ((CHAT[:2], 0), (CHAT, turns(pocket, CHAT)[1])):
        result = pocket.generate(messages, params=params, mode=mode)
        assert result.usage.cached_tokens == known
        assert result.token_ids == alone(pocket, messages, params, mode).token_ids


def test_chats_share_their_system_prompt(pocket: LM) -> None:
    params = Params(max_tokens=24, seed=5)
    pocket.generate([SYSTEM, ASK], params=params)
    other = [SYSTEM, {"role": "user", "content": "Draw a yellow star."}]
    result = pocket.generate(other, params=params)
    assert result.usage.cached_tokens == turns(pocket, other)[0]
    assert result.token_ids == alone(pocket, other, params, "diffusion").token_ids


@pytest.mark.parametrize("cache", ["auto", "int8"])
def test_a_long_chat_has_the_same_bits_over_known_pages(embedded: LM, cache: Cache) -> None:
    lm = LM(embedded.model, tokenizer=embedded.tokenizer, settings=embedded.settings, cache=cache)
    known = Known(lm.pool)
    for rounds in range(1, 8):
        messages = [SYSTEM, ASK]
        for number in range(rounds):
            text = f"Scene {number}: " + "draw a small blue square, " * (5 + 20 * (number % 3))
            answer = {"role": "assistant", "content": "<svg></svg>"}
            messages += [answer, {"role": "user", "content": text}]
        ids = read_prompt(messages, tokenizer=lm.tokenizer, config=lm.config)
        lm.pool.known = None
        plain = opened(lm, ids)
        lm.pool.known = known
        assert torch.equal(opened(lm, ids), plain)
    assert len(ids) > 4 * 256
    assert known.stats.found > 2 * known.stats.encoded
    assert known.pages == lm.pool.in_use
    # the turns share the pages of the chat
    assert known.pages <= -(-len(ids) // 256) * len(lm.config.layers)


@torch.inference_mode()
def opened(lm: LM, ids: Sequence[int]) -> torch.Tensor:
    """The last hidden state of a prompt, encoded and freed."""
    opening = encode_prompt(lm.network, lm.pool, ids, top=None)
    opening.prefix.free()
    assert opening.last is not None
    return opening.last


@pytest.fixture
def cached(lm: LM) -> LM:
    lm.pool = Pool(TINY, page_size=16, breaks=frozenset([5]))
    lm.pool.known = Known(lm.pool)
    return lm


def test_prompt_log_probabilities_need_every_token(cached: LM) -> None:
    params = Params(max_tokens=4, seed=1, prompt_logprobs=True)
    prompt = IDS[:40]
    first, again = (cached.generate(prompt, params=params) for _ in range(2))
    assert (first.usage.cached_tokens, again.usage.cached_tokens) == (0, 0)
    assert first.prompt_logprobs == again.prompt_logprobs
    # but what it has encoded is known to those who do not ask
    assert cached.generate(prompt, params=Params(max_tokens=4)).usage.cached_tokens == 32


def test_a_prompt_cancelled_halfway_leaves_its_finished_pieces(cached: LM) -> None:
    network, passes = cached.network, 0

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(network, name)

        def encode(self, *given: object) -> torch.Tensor:
            nonlocal passes
            passes += 1
            if passes == 3:
                raise KeyboardInterrupt
            return network.encode(*given)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt), torch.inference_mode():
        encode_prompt(Failing(), cached.pool, IDS[:50], top=None)  # type: ignore[arg-type]
    assert stats(cached.pool).nodes == 2
    assert cached.pool.in_use == stats(cached.pool).pages
    assert cached.generate(IDS[:50], params=Params(max_tokens=4)).usage.cached_tokens == 32


def test_several_answers_tell_what_their_prompt_found(cached: LM) -> None:
    params = Params(max_tokens=4, seed=1, n=2)
    assert [
        one.usage.cached_tokens for one in cached.generate(IDS[:20], params=params).choices
    ] == [
        0,
        0,
    ]
    with torch.inference_mode():
        shared = SharedPrompt(2)
        openings = [shared.open(cached.network, cached.pool, IDS[:20], top=None) for _ in range(2)]
    assert [opening.cached for opening in openings] == [16, 16]
    for opening in openings:
        opening.prefix.free()


def test_a_prompt_that_no_page_is_left_for_is_refused_whole(cached: LM) -> None:
    cached.pool.limit = 4
    with pytest.raises(OutOfMemoryError, match="all 4 pages"):
        cached.generate(IDS[:60], params=Params(max_tokens=4))
    assert cached.pool.in_use == stats(cached.pool).pages
    short = cached.generate(IDS[100:110], params=Params(max_tokens=4))
    assert len(short.token_ids) == 4


def test_an_empty_prompt_is_not_looked_up(cached: LM) -> None:
    assert cached.generate([], params=Params(max_tokens=4, seed=1)).usage.cached_tokens == 0
