"""From a request's parameters to what steers its answer; None where nothing does."""

from __future__ import annotations

import re
from functools import lru_cache

import torch

from canvaslm.control.bias import Banned, Bias
from canvaslm.control.constraint.walker import Walker
from canvaslm.control.endings import FirstStop, Limit
from canvaslm.control.forbid import Forbidden, Lexicon
from canvaslm.control.language.compile import compile_constraint
from canvaslm.control.language.constraints import ToolCall
from canvaslm.control.language.vocabulary import Vocabulary
from canvaslm.control.penalties import Penalties
from canvaslm.control.steering import Ending, LogitRule, Steering
from canvaslm.control.words import Words
from canvaslm.engine.params import Params
from canvaslm.engine.prompt import need_tokenizer
from canvaslm.engine.reading import Reading
from canvaslm.engine.settings import read_filters
from canvaslm.errors import ParameterError
from canvaslm.text.controls import CHANNEL, CHANNEL_END, TOOL_CALL, TOOL_CALL_END
from canvaslm.text.tokenizer import Tokenizer


def steer(
    params: Params,
    *,
    tokenizer: Tokenizer | None,
    vocab_size: int,
    eos_ids: frozenset[int],
    reading: Reading | None,
    device: torch.device,
) -> Steering | None:
    """Raises ParameterError for what the model's vocabulary cannot serve, ConstraintError for a
    constraint that nothing can satisfy, MissingTokenizerError for texts without a tokenizer."""
    banned, forbidden = read_words(params, tokenizer, vocab_size, eos_ids)
    steering = Steering(
        rules=read_rules(params, banned, tokenizer, vocab_size, eos_ids, device),
        constraint=read_constraint(params, tokenizer, vocab_size, eos_ids),
        forbidden=forbidden,
        endings=read_endings(params, reading),
        greedy=params.greedy,
        filters=read_filters(params),
    )
    idle = not steering.rules and not steering.endings
    return None if idle and steering.constraint is None and forbidden is None else steering


def read_rules(
    params: Params,
    banned: frozenset[int],
    tokenizer: Tokenizer | None,
    vocab_size: int,
    eos_ids: frozenset[int],
    device: torch.device,
) -> list[LogitRule]:
    """Bias, penalties and single tokens ruled out, in this order: nothing undoes the last."""
    rules: list[LogitRule] = []
    bias: dict[int, float] = {}
    for token, value in (params.logit_bias or {}).items():
        id = token_of(token, tokenizer, vocab_size)
        bias[id] = bias.get(id, 0.0) + value
    if bias:
        rules.append(Bias(bias, device=device))
    penalties = Penalties(
        repetition=params.repetition_penalty or 1.0,
        presence=params.presence_penalty or 0.0,
        frequency=params.frequency_penalty or 0.0,
    )
    if penalties != Penalties():
        rules.append(penalties.without(eos_ids))
    if banned:
        rules.append(Banned(banned, device=device))
    return rules


def token_of(token: int | str, tokenizer: Tokenizer | None, vocab_size: int) -> int:
    """The id of a token that is given as its id or its text."""
    if isinstance(token, str):
        ids = need_tokenizer(tokenizer).encode(token)
        if len(ids) != 1:
            raise ParameterError(
                f"logit_bias[{token!r}]: the text is {len(ids)} tokens of this model, {ids}; a "
                "bias is on one token: give its id"
            )
        return ids[0]
    return check_token("logit_bias", token, vocab_size)


def check_token(name: str, id: int, vocab_size: int) -> int:
    """`id`, if it is one of the model's."""
    if id >= vocab_size:
        raise ParameterError(f"{name}: token id {id} is out of range, expected [0, {vocab_size})")
    return id


def read_words(
    params: Params, tokenizer: Tokenizer | None, vocab_size: int, eos_ids: frozenset[int]
) -> tuple[frozenset[int], Forbidden | None]:
    """Tokens that hold a bad word by themselves, and words that several tokens may make."""
    texts = [word.encode() for word in params.bad_words or () if isinstance(word, str)]
    sequences = [list(word) for word in params.bad_words or () if not isinstance(word, str)]
    for sequence in sequences:
        for id in sequence:
            check_token("bad_words", id, vocab_size)
    banned = {sequence[0] for sequence in sequences if len(sequence) == 1}
    longer = [sequence for sequence in sequences if len(sequence) > 1]
    if texts:
        banned |= tokens_with(tuple(texts), need_tokenizer(tokenizer))
    if len(banned) >= vocab_size:
        raise ParameterError("bad_words rule out every token of the model: forbid less")
    texts = [text for text in texts if len(text) > 1]  # one byte is in one token
    if not texts and not longer:
        return frozenset(banned), None
    lexicon = Lexicon(
        text=Words(texts) if texts else None,
        ids=Words(longer) if longer else None,
        read=lambda id: b"" if tokenizer is None else tokenizer.text_bytes([id]),
        asides={} if tokenizer is None else read_asides(tokenizer),
    )
    return frozenset(banned), Forbidden(lexicon, ends=eos_ids, limit=params.max_tokens)


@lru_cache(maxsize=8)
def tokens_with(texts: tuple[bytes, ...], tokenizer: Tokenizer) -> frozenset[int]:
    """All tokens whose own bytes hold one of `texts`."""
    pattern = re.compile(b"|".join(map(re.escape, texts)))
    return frozenset(
        id
        for id in range(tokenizer.vocab_size)
        if id not in tokenizer.special_ids and pattern.search(tokenizer.token_bytes(id))
    )


def read_asides(tokenizer: Tokenizer) -> dict[int, int]:
    """The control tokens that open thoughts and tool calls, and those that close them."""
    pairs = ((CHANNEL, CHANNEL_END), (TOOL_CALL, TOOL_CALL_END))
    known = [(tokenizer.token_id(first), tokenizer.token_id(last)) for first, last in pairs]
    return {first: last for first, last in known if first is not None and last is not None}


def read_endings(params: Params, reading: Reading | None) -> list[Ending]:
    """Cuts that make a canvas settle earlier; the published sampler looks past them."""
    if params.effort in (None, "reference"):
        return []
    endings: list[Ending] = [Limit(tokens=params.max_tokens)]
    if reading is not None and params.stops:
        endings.append(FirstStop(through=reading.through))
    return endings


def read_constraint(
    params: Params, tokenizer: Tokenizer | None, vocab_size: int, eos_ids: frozenset[int]
) -> Walker | None:
    constraint = params.constraint
    if params.tool_choice is not None:
        name = None if params.tool_choice == "required" else params.tool_choice
        constraint = ToolCall(params.tools or (), name=name)
    if constraint is None:
        return None
    vocabulary = Vocabulary.of(need_tokenizer(tokenizer), size=vocab_size)
    automaton = compile_constraint(constraint, vocabulary)
    return Walker(automaton, end_ids=eos_ids, room=params.max_tokens)
