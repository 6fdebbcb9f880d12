"""Where a question stands: the tokens all questions share, a question's own, and its canvases.

    shared   <bos><|turn>user\\n STATE\\n        encoded once
    own      INSTRUCTIONS a, b, c<turn|>\\n<|turn>model\\n
    canvas   [noise][<turn|>][<eos>]...         a noise token wherever the options still differ

Options are told apart by their tokens as in a tree. A `Read` is one place where they part: the
canvas shows what is settled and what all options still possible have in common, and the model is
asked for the one token that comes next. An option's probability is the product along its path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

import torch

from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.engine.decide.questions import Option, Question
from canvaslm.engine.prompt import read_prompt
from canvaslm.errors import ContextLengthError, ParameterError, TemplateError
from canvaslm.model.config import ModelConfig
from canvaslm.text.messages import ROLES, Message
from canvaslm.text.tokenizer import Tokenizer

State = str | Mapping[str, Any] | Sequence[Any]

CANVAS = 8  # tokens; longer only where an option is


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What surrounds a question's own text: the state before it, the model's turn after it."""

    shared: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Read:
    """One look at the model: its own tokens after the shared ones; after those a canvas, or, to
    read the next token causally, what is `said` of an answer; the place that is read in them (-1:
    the last own token), and the tokens that it may hold."""

    own: tuple[int, ...]
    canvas: tuple[int, ...] = ()
    said: tuple[int, ...] = ()
    place: int
    labels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Fork:
    """A place where options part: `said` before it; then each label, and the options behind it."""

    said: tuple[int, ...]
    branches: Mapping[int, tuple[int, ...]]


def read_frame(state: State, *, tokenizer: Tokenizer, config: ModelConfig) -> Frame:
    """Find what stands around any question about `state`, whichever the question is.

    Raises what reading a prompt raises, and TemplateError if the template shows no user's text.
    """
    one, other = (
        read_prompt(content(state, letter), tokenizer=tokenizer, config=config)
        for letter in ("A", "B")
    )
    shared = beginning(one, other)
    after = beginning(one[len(shared) :][::-1], other[len(shared) :][::-1])[::-1]
    if len(shared) == len(one):
        raise TemplateError(
            "the chat template does not show what the user asks: decisions need one that does"
        )
    return Frame(shared=shared, after=after)


def beginning(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """What both begin with."""
    return tuple(
        a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    )


def content(state: State, asked: str) -> str | list[Message]:
    """The prompt that asks `asked` about the state: text or JSON before it, or messages."""
    if isinstance(state, str):
        return f"{state}\n{asked}" if state else asked
    if isinstance(state, bytes) or not isinstance(state, Mapping | Sequence):
        raise ParameterError(
            "a state must be a text, a JSON object or list, or messages, got "
            f"{type(state).__name__}"
        )
    if is_conversation(state):
        return [*state, {"role": "user", "content": asked}]
    try:
        text = json.dumps(state, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as reason:
        raise ParameterError(f"the state cannot be written as JSON: {reason}") from None
    return f"{text}\n{asked}"


def is_conversation(state: Mapping[str, Any] | Sequence[Any]) -> bool:
    return (
        not isinstance(state, Mapping)
        and len(state) > 0
        and all(isinstance(m, Mapping) and m.get("role") in ROLES for m in state)
    )


def asked_text(question: Question, order: Sequence[int]) -> str:
    """The question as the model reads it, its options in this order, described where they are."""
    options = [question.listed[place] for place in order]
    text = question.instructions.strip()
    if question.kind != "yes_no":
        text += " " + ", ".join(option.text for option in options)
    return "\n".join([text, *(line for option in options for line in description(option))])


def description(option: Option) -> list[str]:
    return [f"{option.text}: {option.description}"] if option.description else []


def arrangements(question: Question, orders: int) -> list[tuple[int, ...]]:
    """Up to `orders` orders to list the options in: rotations, spread evenly, of one fixed order.

    Options to pick from are sorted first, so that the caller's order has no influence at all; a
    scale is read as it runs.
    """
    count = len(question.listed)
    places = tuple(range(count))
    if question.kind == "rate":
        return [places]
    if question.kind == "pick":
        places = tuple(sorted(places, key=lambda place: question.listed[place].text))
    elif not any(option.description for option in question.listed):
        return [places]
    turns = [count * i // min(orders, count) for i in range(min(orders, count))]
    return [places[turn:] + places[:turn] for turn in turns]


def forks(options: Sequence[tuple[int, ...]]) -> list[Fork]:
    """Where these token sequences part from each other, none being the beginning of another."""
    found: list[Fork] = []
    waiting = [(0, tuple(range(len(options))))]
    while waiting:
        depth, members = waiting.pop()
        grouped: dict[int, list[int]] = {}
        for member in members:
            grouped.setdefault(options[member][depth], []).append(member)
        branches = {label: tuple(group) for label, group in grouped.items()}
        if len(branches) > 1:
            found.append(Fork(said=options[members[0]][:depth], branches=branches))
        waiting += [(depth + 1, group) for group in branches.values() if len(group) > 1]
    return found


class Layout:
    """Lays questions out for one tokenizer and network: closing tokens, noise, canvas lengths."""

    def __init__(
        self, *, tokenizer: Tokenizer, config: ModelConfig, eos_ids: frozenset[int]
    ) -> None:
        """Raises ParameterError for a checkpoint that has no closing token."""
        if not eos_ids:
            raise ParameterError(
                "the checkpoint names no eos_token_id, so the end of an option cannot be told: set "
                "it in generation_config.json"
            )
        self.tokenizer, self.config, self.eos_ids = tokenizer, config, eos_ids
        eos = tokenizer.token_id(tokenizer.names.get("eos_token", ""))
        self.fill = eos if eos in eos_ids else min(eos_ids)

    def closing(self, frame: Frame) -> int:
        """The token that ends an answer: what ends the user's turn, if it is one of the ends."""
        return frame.after[0] if frame.after and frame.after[0] in self.eos_ids else self.fill

    def options(self, question: Question, frame: Frame) -> list[tuple[int, ...]]:
        """Each option's tokens with the closing one. Raises ParameterError where two are alike."""
        closing = self.closing(frame)
        encoded: dict[tuple[int, ...], str] = {}
        for option in question.listed:
            ids = (*self.tokenizer.encode(option.text, special=False), closing)
            if ids in encoded:
                raise ParameterError(
                    f"the options {encoded[ids]!r} and {option.text!r} are the same tokens to the "
                    "model: word one of them differently"
                )
            encoded[ids] = option.text
        longest = max(map(len, encoded))
        if longest > self.config.canvas_length:
            raise ContextLengthError(
                f"an option has {longest} tokens and a canvas holds {self.config.canvas_length}: "
                "give it a shorter value and a description"
            )
        return list(encoded)

    def own(self, question: Question, order: Sequence[int], frame: Frame) -> tuple[int, ...]:
        text = asked_text(question, order)
        return (*self.tokenizer.encode(text, special=False), *frame.after)

    def reads(
        self, own: tuple[int, ...], parts: Sequence[Fork], options: Sequence[tuple[int, ...]]
    ) -> list[Read]:
        """A canvas for each fork: its place holds noise, as does all that is not common yet."""
        size = min(CANVAS, self.config.canvas_length)
        size = max(size, max(map(len, options)))
        return [self.read(own, fork, options, size) for fork in parts]

    def read(
        self, own: tuple[int, ...], fork: Fork, options: Sequence[tuple[int, ...]], size: int
    ) -> Read:
        labels, place = tuple(fork.branches), len(fork.said)
        members = [member for group in fork.branches.values() for member in group]
        filled = [(*options[m], *[self.fill] * (size - len(options[m]))) for m in members]
        noise = noise_ids(self.config.vocab_size, size, avoid=(*labels, *self.eos_ids))
        canvas = tuple(
            column[0] if len(set(column)) == 1 else noise[n]
            for n, column in enumerate(zip(*filled, strict=True))
        )
        return Read(own=own, canvas=canvas, place=place, labels=labels)

    def causal_reads(self, own: tuple[int, ...], parts: Sequence[Fork]) -> list[Read]:
        """The next token after what has been said, for each fork."""
        return [
            Read(
                own=own,
                said=fork.said,
                place=len(fork.said) - 1,
                labels=tuple(fork.branches),
            )
            for fork in parts
        ]


def noise_ids(vocabulary: int, count: int, *, avoid: Sequence[int]) -> list[int]:
    """`count` fixed random tokens, none of them one that is asked for."""
    wrong = sorted({id for id in avoid if 0 <= id < vocabulary})
    others = vocabulary - len(wrong)
    drawn = drawn_ids(vocabulary, count)
    return [other(id % others, wrong) if others and id in wrong else id for id in drawn]


@lru_cache(maxsize=64)
def drawn_ids(vocabulary: int, count: int) -> tuple[int, ...]:
    """`count` fixed random tokens."""
    numbers = uniforms(0, canvas=0, step=0, stream=Stream.NOISE, count=count)
    rule = UniformNoise(vocab_size=vocabulary)
    return tuple(rule.tokens(torch.from_numpy(numbers.copy())).tolist())


def other(number: int, wrong: Sequence[int]) -> int:
    """The token of this number, counted without the wrong ones, which are in ascending order."""
    for id in wrong:
        number += id <= number
    return number
