"""What a request's fields make of `canvaslm.Params`, and how the engine is asked."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from canvaslm.control.language.compile import Constraint, compile_constraint
from canvaslm.control.language.constraints import Choice, Grammar, Regex, ToolCall
from canvaslm.control.language.vocabulary import Vocabulary
from canvaslm.engine.events import Event
from canvaslm.engine.lm import LM
from canvaslm.engine.params import SEEDS, Mode, Params
from canvaslm.engine.prompt import Prompt, TemplateOptions, check_length, read_prompt
from canvaslm.errors import ConstraintError, ContextLengthError, ParameterError, TemplateError
from canvaslm.server.asking.thinking import Closed, think_within
from canvaslm.server.errors import CODES, ApiError
from canvaslm.server.schema.common import Extensions, Sampling, Thinking
from canvaslm.server.settings import Settings

USUAL_TOKENS = 1024
"""Longest answer of a request that does not say, as far as the context has room."""

BUDGETS = {"low": 256, "medium": 1024}
SILENT = ("none", "minimal", "instant")
_EXTENSIONS = (
    "effort",
    "max_steps",
    "entropy_bound",
    "t_min",
    "t_max",
    "top_k",
    "min_p",
    "repetition_penalty",
    "bad_words",
    "skip_settled",
    "hold_settled",
)
CONSTRAINTS = ("regex", "choice", "grammar")
_SAMPLING = ("temperature", "presence_penalty", "frequency_penalty", "stop")
_TOKEN_ID = re.compile(r"[0-9]{1,10}")
_TEXTS = ("messages", "prompt", "input")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One answer to ask the engine for; `budget` are the tokens of thought at most.

    The prompt is made of tokens already, and the constraint compiled: see `make_ask`.
    """

    prompt: tuple[int, ...]
    params: Params
    mode: Mode = "diffusion"
    budget: int | None = None

    def __call__(self, lm: LM) -> Iterator[Event | Closed]:
        """The answer's events: work for the engine."""
        if self.budget is None:
            return lm.stream(self.prompt, params=self.params, mode=self.mode)
        return think_within(lm, self.prompt, params=self.params, mode=self.mode, budget=self.budget)

    def again(self, count: int) -> Ask:
        """The same with the seed so many further on."""
        return replace(self, params=replace(self.params, seed=(self.seed + count) % SEEDS))

    @property
    def seed(self) -> int:
        assert self.params.seed is not None
        return self.params.seed


def make_ask(
    prompt: Prompt,
    fields: Mapping[str, Any],
    *,
    lm: LM,
    mode: Mode,
    length: int | None,
    budget: int | None = None,
    moves: int | None = None,
) -> Ask:
    """What `LM.stream(prompt, params=Params(**fields))` would do, made ready for the engine.

    `length` is `max_tokens`, None for the usual; `moves` as of `build`. Tokenizes and builds
    automata, which the engine's thread then need not do. Raises what `LM.stream` would.
    """
    params = Params(**fields)
    params.check_mode(mode)
    options = TemplateOptions(thinking=params.thinking, tools=params.tools)
    ids = read_prompt(prompt, tokenizer=lm.tokenizer, config=lm.config, options=options)
    params = replace(params, max_tokens=choose_length(length, prompt=len(ids), mode=mode, lm=lm))
    check_length(len(ids), answer=params.max_tokens, mode=mode, config=lm.config)
    constraint = params.constraint
    if params.tool_choice is not None:
        name = None if params.tool_choice == "required" else params.tool_choice
        constraint = ToolCall(params.tools or (), name=name)
    if constraint is not None:
        build(constraint, lm, moves=moves)
    ready = replace(params, thinking=False, tools=None, tool_choice=None, constraint=constraint)
    return Ask(prompt=ids, params=ready, mode=mode, budget=budget)


def build(constraint: Constraint, lm: LM, *, moves: int | None = None) -> None:
    """Build the automaton, which is then kept. Raises ConstraintError, also for more than so many
    `moves`."""
    words = Vocabulary.of(lm.tokenizer, size=lm.config.vocab_size)
    found = len(compile_constraint(constraint, words).target_E)
    if moves is not None and found > moves:
        raise ConstraintError(
            f"the constraint makes an automaton of {found:,} moves over the vocabulary, and this "
            f"server takes at most {moves:,}: give a simpler one, with lower counts of repeats"
        )


@dataclass(frozen=True, kw_only=True)
class Thoughts:
    """Whether to think, for how many tokens at most, and the effort that goes with it."""

    on: bool = False
    budget: int | None = None
    effort: str | None = None


def read_thoughts(asked: Thinking, *, effort: str | None = None) -> Thoughts:
    """Raises ApiError where the three fields, or `effort`, contradict each other."""
    level, on, budget = asked.reasoning_effort, asked.thinking, asked.thinking_budget
    if level is not None and on is not None and on != (level not in SILENT):
        raise ApiError(
            f"thinking={on} contradicts reasoning_effort={level!r}: give one of them",
            param="thinking",
        )
    if level == "instant" and effort not in (None, "fast"):
        raise ApiError(
            f'reasoning_effort="instant" means effort="fast", and effort is {effort!r}: give one '
            "of them",
            param="effort",
        )
    on = bool(on) or (level is not None and level not in SILENT)
    if budget is not None and not on:
        raise ApiError(
            "thinking_budget would have no effect without thinking: set thinking to true, or leave "
            "it out",
            param="thinking_budget",
        )
    budget = BUDGETS.get(level or "") if budget is None else budget
    return Thoughts(on=on, budget=budget, effort="fast" if level == "instant" else effort)


def read_extensions(asked: Extensions) -> dict[str, Any]:
    """The fields of `Params` that carry the same name."""
    return {name: getattr(asked, name) for name in _EXTENSIONS} | {
        "hold_settled": bool(asked.hold_settled)
    }


def holds(asked: Extensions) -> bool:
    """Whether settled text stays and leaves early: as asked, else wherever that is possible and
    nobody asked for the published sampler by name."""
    if asked.hold_settled is not None:
        return asked.hold_settled
    possible = asked.mode == "diffusion" and asked.logprobs_kind != "denoiser"
    return possible and asked.effort not in ("reference", "quality")


def read_sampling(asked: Sampling) -> dict[str, Any]:
    """The fields of `Params` that say how tokens are drawn. Raises ApiError."""
    same = {name: getattr(asked, name) for name in _SAMPLING}
    return {
        **read_extensions(asked),
        **same,
        "top_p": None if asked.top_p == 1 else asked.top_p,
        "logit_bias": read_bias(asked.logit_bias),
        "seed": secrets.randbits(31) if asked.seed is None else asked.seed,
    }


def read_bias(bias: Mapping[str, float] | None) -> dict[int | str, float] | None:
    """OpenAI writes token ids as texts. Raises ApiError for a text that is none."""
    if not bias:
        return None
    for token in bias:
        if not _TOKEN_ID.fullmatch(token):
            raise ApiError(
                f"logit_bias[{token[:40]!r}] is no token id: keys are ids written as texts, such "
                'as "42"; /v1/tokenize says which',
                param="logit_bias",
            )
    return {int(token): value for token, value in bias.items()}


def is_heavy(asked: Extensions) -> bool:
    """Whether an automaton is to be built for it, which takes up to some seconds."""
    given = [getattr(asked, name, None) for name in CONSTRAINTS]
    given += [getattr(asked, "response_format", None)]
    given += [getattr(getattr(asked, "text", None), "format", None)]
    if any(one is not None for one in given):
        return True
    return getattr(asked, "tool_choice", None) not in (None, "auto", "none")


def constraint_field(asked: Extensions) -> str | None:
    """The first of the extensions that say what an answer must match, if any is given."""
    return next((name for name in CONSTRAINTS if getattr(asked, name) is not None), None)


def read_constraint(
    asked: Extensions, given: Constraint | None, settings: Settings, *, rival: str | None = None
) -> Constraint | None:
    """The one constraint of a request: `given`, or that of an extension.

    `given` comes from the field `rival`. Raises ApiError for two, or one that is too large, and
    ConstraintError for what is no constraint.
    """
    fields = {name: getattr(asked, name) for name in CONSTRAINTS}
    named = [name for name, value in fields.items() if value is not None]
    named += [rival] if rival is not None else []
    if len(named) > 1:
        raise ApiError(f"{' and '.join(named)} exclude each other: give one", param=named[0])
    for name, value in fields.items():
        check_size(name, count_characters(value), settings.schema)
    if asked.regex is not None:
        return Regex(asked.regex)
    if asked.choice is not None:
        return Choice(asked.choice)
    return given if asked.grammar is None else Grammar(asked.grammar)


def check_size(name: str, size: int, most: int) -> None:
    """Raise ApiError where a part of a request is larger than this server takes."""
    if size > most:
        raise ApiError(
            f"{name} has {size} characters, and this server takes at most {most}: give less",
            status=413,
            param=name,
            code="request_too_large",
        )


def count_characters(value: object) -> int:
    """The characters of all texts in a JSON value, keys included."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(count_characters(part) for pair in value.items() for part in pair)
    return sum(map(count_characters, value)) if isinstance(value, Sequence) else 0


def choose_length(asked: int | None, *, prompt: int, mode: Mode, lm: LM) -> int:
    """`max_tokens`: as asked, else USUAL_TOKENS or what the context has room for."""
    if asked is not None:
        return asked
    unit = lm.config.canvas_length if mode == "diffusion" else 1
    room = max(lm.config.max_positions - prompt, 0) // unit * unit
    return min(USUAL_TOKENS, room or unit)  # without any room the engine says how much is too much


def check_stream(asked: Sampling) -> None:
    """Raise ApiError for what would have no effect without a stream."""
    for name in ("stream_options", "canvas_events"):
        if not asked.stream and getattr(asked, name):
            raise ApiError(
                f"{name} would have no effect without stream: set stream to true, or leave it out",
                param=name,
            )


@contextmanager
def naming(fields: Collection[str], *, otherwise: str | None = None) -> Iterator[None]:
    """Errors of parameters inside become ApiErrors that name the first of `fields` they speak of,
    or `otherwise`."""
    try:
        yield
    except ContextLengthError as error:
        texts = next((name for name in _TEXTS if name in fields), None)
        raise ApiError(
            str(error),
            param="max_tokens" if "set max_tokens" in str(error) else texts,
            code="context_length_exceeded",
        ) from None
    except TemplateError as error:
        raise ApiError(str(error), param="messages") from None
    except ParameterError as error:
        known = frozenset(fields) - {"model"}  # messages speak of it
        word = next((word for word in _WORD.findall(str(error)) if word in known), otherwise)
        raise ApiError(str(error), param=word, code=CODES.get(type(error))) from None
