"""The causal score of a text: its log-probability, token by token."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from canvaslm.cache.pages import Pool, Prefix
from canvaslm.engine.checks import check_integer
from canvaslm.engine.encode import extend_all
from canvaslm.engine.prompt import Ids, Prompt, check_ids, need_tokenizer, read_prompt
from canvaslm.engine.scoring.causal import follow
from canvaslm.engine.scoring.token import TokenLogprob
from canvaslm.errors import ContextLengthError, ParameterError
from canvaslm.model.config import ModelConfig
from canvaslm.model.network import Network
from canvaslm.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Causal log-probabilities, in nats.

    given   ids that were read and not scored: a prompt, bos, or of bare ids the first
    tokens  the scored tokens, in order
    bytes   length of their text in UTF-8, control tokens apart; None without a tokenizer
    """

    given: tuple[int, ...]
    tokens: tuple[TokenLogprob, ...]
    bytes: int | None = None

    @property
    def sum(self) -> float:
        """The log-probability of all scored tokens together."""
        return math.fsum(token.logprob for token in self.tokens)

    @property
    def mean(self) -> float:
        """Nats per token."""
        return self.sum / len(self.tokens)

    @property
    def perplexity(self) -> float:
        """exp(-mean): among how many equally likely tokens the model seems to choose."""
        return math.exp(-self.mean) if self.mean > -700 else math.inf

    @property
    def bits_per_byte(self) -> float | None:
        """-sum in bits over `bytes`: comparable between tokenizers. None where there are none."""
        return -self.sum / math.log(2) / self.bytes if self.bytes else None


@torch.inference_mode()
def score(
    model: Network,
    pool: Pool,
    prompt: Prompt,
    *,
    continuation: str | Ids | None,
    top: int,
    tokenizer: Tokenizer | None,
) -> Scores:
    """What `LM.score` does. Only the scored tokens are unembedded, a piece at a time."""
    check_integer("top", top, least=0, below=model.config.vocab_size + 1)
    if continuation is None:
        ids, start = read_alone(prompt, tokenizer, model.config), 1
    else:
        ids, start = read_both(prompt, continuation, tokenizer, model.config)
    if len(ids) > model.config.max_positions:
        raise ContextLengthError(
            f"{len(ids)} tokens do not fit: the model's context is {model.config.max_positions}; "
            "score the text in parts"
        )
    with Prefix(pool) as prefix:
        picked, _ = follow(model, extend_all(model, prefix, ids[:-1]), ids, top=top, start=start)
    assert picked is not None
    return Scores(
        given=ids[:start],
        tokens=picked.tokens(ids[start:], tokenizer),
        bytes=None if tokenizer is None else len(tokenizer.text_bytes(ids[start:])),
    )


def read_alone(prompt: Prompt, tokenizer: Tokenizer | None, config: ModelConfig) -> tuple[int, ...]:
    """Text after bos, not as a user's turn; messages and ids as a prompt is read."""
    if isinstance(prompt, str):
        reader = need_tokenizer(tokenizer)
        bos = [] if reader.bos_id is None else [reader.bos_id]
        ids = check_ids([*bos, *read_plain(prompt, "text", tokenizer, config)], config)
    else:
        ids = read_prompt(prompt, tokenizer=tokenizer, config=config)
    if len(ids) < 2:
        raise ParameterError(
            f"there is nothing to score in {len(ids)} tokens: the first one has nothing before it; "
            "give 2 tokens or more, or a prompt and a continuation"
        )
    return ids


def read_both(
    prompt: Prompt, continuation: str | Ids, tokenizer: Tokenizer | None, config: ModelConfig
) -> tuple[tuple[int, ...], int]:
    """The ids of prompt and continuation, and where the continuation begins."""
    before = read_prompt(prompt, tokenizer=tokenizer, config=config)
    if not before:
        raise ParameterError(
            "a continuation needs a prompt of at least 1 token, got none: leave continuation out"
        )
    return before + read_plain(continuation, "continuation", tokenizer, config), len(before)


def read_plain(
    text: str | Ids, name: str, tokenizer: Tokenizer | None, config: ModelConfig
) -> tuple[int, ...]:
    """Text as it is, or ids: control strings in a text stay text, control tokens come as ids.

    Raises ParameterError where there are none, MissingTokenizerError for text without a tokenizer.
    """
    if isinstance(text, str):
        ids = tuple(need_tokenizer(tokenizer).encode(text, special=False))
    else:
        ids = read_prompt(text, tokenizer=tokenizer, config=config)
    if not ids:
        raise ParameterError(f"{name} is empty: give at least one token of it")
    return check_ids(ids, config)
