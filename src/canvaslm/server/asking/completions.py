"""From the body of a completion to what the engine is asked, prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from canvaslm.engine.lm import LM
from canvaslm.engine.params import Params
from canvaslm.engine.prompt import check_ids, check_length
from canvaslm.engine.scoring.score import Scores
from canvaslm.server.asking.params import (
    Ask,
    check_size,
    check_stream,
    constraint_field,
    count_characters,
    holds,
    make_ask,
    naming,
    read_constraint,
    read_sampling,
)
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.completions import MOST_ANSWERS, CompletionBody
from canvaslm.server.schema.fim import FimBody
from canvaslm.server.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Given:
    """A prompt. Of its tokens, the first `added` are not the caller's."""

    text: str
    ids: tuple[int, ...]
    added: int = 0


@dataclass(frozen=True, kw_only=True)
class Score:
    """Work for the engine: the log-probabilities of a prompt, where nothing is to be written."""

    ids: tuple[int, ...]
    top: int

    def __call__(self, lm: LM) -> Iterator[Scores]:
        yield lm.score(self.ids, top=self.top)


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Work for the engine: none, but it waits for its turn like any other."""

    def __call__(self, lm: LM) -> Iterator[object]:
        yield None


Task = Ask | Score | Nothing


@dataclass(frozen=True, kw_only=True)
class Asked:
    """All answers to a request: what each is to, and how the engine is asked for it."""

    prompts: tuple[Given, ...]
    tasks: tuple[Task, ...]
    seed: int

    def given(self, index: int) -> Given:
        """The prompt of an answer."""
        return self.prompts[index * len(self.prompts) // len(self.tasks)]


def read_completion(body: CompletionBody, lm: LM, settings: Settings) -> Asked:
    """What to ask for. Raises ApiError naming what cannot be served.

    Tokenizes, and builds automata: not for the event loop.
    """
    check_stream(body)
    if body.best_of not in (None, body.n or 1):
        raise ApiError(
            f"best_of is {body.best_of}, and only n, {body.n or 1}, is served: all that is drawn "
            "is given",
            param="best_of",
        )
    check_size("prompt", count_characters(body.prompt), settings.prompt)
    prompts = read_prompts(body.prompt, lm)
    if len(prompts) * (body.n or 1) > MOST_ANSWERS:
        raise ApiError(
            f"{len(prompts)} prompts with n={body.n or 1} make more than {MOST_ANSWERS} answers: "
            "send fewer at a time",
            param="prompt",
        )
    tasks: list[Task] = []
    with naming(body.model_fields_set, otherwise=constraint_field(body) or "prompt"):
        firsts = read_tasks(body, prompts, lm, settings)
    for task in firsts:
        tasks += [task.again(k) if isinstance(task, Ask) else task for k in range(body.n or 1)]
    seeds = [task.seed for task in tasks if isinstance(task, Ask)]
    return Asked(prompts=prompts, tasks=tuple(tasks), seed=seeds[0] if seeds else body.seed or 0)


def read_tasks(
    body: CompletionBody, prompts: Sequence[Given], lm: LM, settings: Settings
) -> list[Task]:
    """The first answer to each prompt. Raises ParameterError and ApiError."""
    scored = body.logprobs is not None
    fields = {
        **read_sampling(body),
        "hold_settled": holds(body),
        "constraint": read_constraint(body, None, settings),
        "logprobs": scored,
        "prompt_logprobs": scored and bool(body.echo),
        "top_logprobs": body.logprobs,
        "logprobs_kind": body.logprobs_kind,
    }
    mode, length = body.mode, body.max_tokens
    if length != 0:
        moves = settings.moves
        return [
            make_ask(given.ids, fields, lm=lm, mode=mode, length=length, moves=moves)
            for given in prompts
        ]
    Params(**fields).check_mode(mode)
    for given in prompts:
        check_length(len(given.ids), answer=0, mode=mode, config=lm.config)
    return [empty_task(given, body) for given in prompts]


def empty_task(given: Given, body: CompletionBody) -> Task:
    """What is to be done for an answer of no tokens."""
    if body.logprobs is None or not body.echo or len(given.ids) < 2:
        return Nothing()
    return Score(ids=given.ids, top=body.logprobs)


def read_prompts(prompt: str | Sequence[object], lm: LM) -> tuple[Given, ...]:
    """Each of the prompts. Raises ApiError for ids that are none of the model's."""
    several = isinstance(prompt, list) and not (prompt and isinstance(prompt[0], int))
    listed = prompt if several else [prompt]
    if not listed:
        raise ApiError("prompt is an empty list: give at least one text", param="prompt")
    with naming((), otherwise="prompt"):
        return tuple(read_one(one, lm) for one in listed)


def read_one(prompt: object, lm: LM) -> Given:
    """A text after bos, in which control strings stay text; or ids as they are."""
    tokenizer = lm.tokenizer
    if isinstance(prompt, str):
        bos = () if tokenizer.bos_id is None else (tokenizer.bos_id,)
        ids = (*bos, *check_ids(tokenizer.encode(prompt, special=False), lm.config))
        return Given(text=prompt, ids=ids, added=len(bos))
    assert isinstance(prompt, list)
    ids = check_ids(prompt, lm.config)
    return Given(text=tokenizer.decode(ids, special=True), ids=ids)


def read_gap(body: CompletionBody) -> FimBody:
    """The same request to /v1/fim/completions. Raises ApiError for what has no meaning there."""
    if not isinstance(body.prompt, str):
        raise ApiError("a suffix needs a prompt that is one text: give that", param="prompt")
    for name in ("logprobs", "echo"):
        if getattr(body, name) not in (None, False):
            raise ApiError(f"{name} is not served together with suffix: leave it out", param=name)
    for name in ("n", "best_of"):
        if getattr(body, name) not in (None, 1):
            raise ApiError(
                f"{name} is not served together with suffix: ask again with another seed",
                param=name,
            )
    if body.mode != "diffusion":
        raise ApiError("a suffix needs diffusion: leave mode out", param="mode")
    if body.max_tokens == 0:
        raise ApiError("max_tokens must be at least 1 before a suffix", param="max_tokens")
    given = {name: getattr(body, name) for name in body.model_fields_set - {"best_of"}}
    return FimBody.model_construct(**given)
