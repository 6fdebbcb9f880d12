"""Requests from prompt to answer: checked, run together or as a stream, and told as results."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from canvaslm.cache.pages import Pool
from canvaslm.engine.diffuse import Commit, Pass, counter_draws, diffuse
from canvaslm.engine.events import Done, Draft, Event, Text
from canvaslm.engine.job import Job
from canvaslm.engine.ledger import LEDGERS, Ledger
from canvaslm.engine.left_to_right import left_to_right
from canvaslm.engine.opening import SharedPrompt
from canvaslm.engine.params import SEEDS, Mode, Params
from canvaslm.engine.prompt import (
    Prompt,
    TemplateOptions,
    check_length,
    need_tokenizer,
    read_prompt,
)
from canvaslm.engine.reading import Reading
from canvaslm.engine.result import Result
from canvaslm.engine.settings import Settings
from canvaslm.engine.steer import steer
from canvaslm.errors import ParameterError
from canvaslm.model.network import Network
from canvaslm.text.spans import Answer, Span
from canvaslm.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class Requests:
    """What answering takes, of a model."""

    network: Network
    pool: Pool
    settings: Settings
    tokenizer: Tokenizer | None
    clock: Callable[[], float]

    def answer(
        self, prompts: Sequence[Prompt], params: Params, mode: Mode, *, batch: int
    ) -> list[Result]:
        """What `LM.generate_many` does."""
        groups = [self.prepare(prompt, params, mode) for prompt in prompts]
        jobs = [job for group in groups for job in group]
        results: list[Result] = []
        with ExitStack() as stack:
            for job in jobs:
                if job.shared is not None:
                    stack.callback(job.shared.free)
            for i in range(0, len(jobs), batch):
                results += self.finish(jobs[i : i + batch], mode)
        return [gather(results[i : i + params.n]) for i in range(0, len(results), params.n)]

    def prepare(self, prompt: Prompt, params: Params, mode: Mode) -> list[Job]:
        """The jobs of a request, `n` of them. Raises whatever can be wrong with it."""
        params.check_mode(mode)
        config = self.network.config
        sampler = self.settings.sampler(params)
        options = TemplateOptions(thinking=params.thinking, tools=params.tools)
        ids = read_prompt(prompt, tokenizer=self.tokenizer, config=config, options=options)
        check_start(ids, params, mode)
        check_length(len(ids), answer=params.max_tokens, mode=mode, config=config)
        first = secrets.randbits(31) if params.seed is None else params.seed
        shared = SharedPrompt(params.n) if params.n > 1 else None
        job = Job(
            prompt=ids,
            params=params,
            seed=first,
            eos_ids=self.settings.eos_ids,
            sampler=sampler,
            plan=self.settings.plan(params),
            tokenizer=self.tokenizer,
            shared=shared,
        )
        return [self.equip(replace(job, seed=(first + k) % SEEDS)) for k in range(params.n)]

    def equip(self, job: Job) -> Job:
        """Give a job what follows its answer: text, steering, log-probabilities."""
        params = job.params
        reader = need_tokenizer(self.tokenizer) if params.stops else self.tokenizer
        reading = None if reader is None else Reading(reader, params.stops)
        steering = steer(
            params,
            tokenizer=self.tokenizer,
            vocab_size=self.network.config.vocab_size,
            eos_ids=self.settings.eos_ids,
            reading=reading,
            device=self.network.device,
        )
        return replace(
            job, ids=[], held=[], reading=reading, steering=steering, ledger=self._ledger(job)
        )

    def _ledger(self, job: Job) -> Ledger | None:
        if not job.params.logprobs:
            return None
        kind = LEDGERS[job.params.logprobs_kind or "causal"]
        return kind(top=job.params.top_logprobs or 0, seed=job.seed, tokenizer=self.tokenizer)

    def finish(self, jobs: Sequence[Job], mode: Mode) -> list[Result]:
        """Bring jobs to their end together; `seconds` of each are the group's."""
        started = self.clock()
        for _ in self._run(jobs, mode):
            pass
        return [job.result(seconds=self.clock() - started) for job in jobs]

    def stream(self, prompt: Prompt, params: Params, mode: Mode) -> Iterator[Event]:
        """What `LM.stream` does."""
        if params.n > 1:
            raise ParameterError(
                f"a stream is of one answer, and n is {params.n}: open a stream for each seed, or "
                "use generate"
            )
        return self._events(self.prepare(prompt, params, mode)[0], mode)

    def _run(self, jobs: Sequence[Job], mode: Mode) -> Generator[Pass | Commit, None, None]:
        if mode == "ar":
            for job in jobs:
                for ids in left_to_right(self.network, self.pool, job):
                    yield Commit(row=0, ids=ids)
            return
        draws = counter_draws(self.network, jobs)
        yield from diffuse(self.network, self.pool, jobs, draws=draws)

    def _events(self, job: Job, mode: Mode) -> Iterator[Event]:
        started, shown = self.clock(), 0
        with closing(self._run([job], mode)) as pieces:
            for piece in pieces:
                if job.reading is not None:
                    new, shown = job.reading.spans[shown:], len(job.reading.spans)
                    yield from map(as_event, new)
                if isinstance(piece, Pass):
                    yield self._draft(piece, job)
        yield Done(result=job.result(seconds=self.clock() - started))

    def _draft(self, piece: Pass, job: Job) -> Draft:
        """The canvas as it would be committed, up to the first stop string in it."""
        state = piece.state
        token_ids = state.best[0].tolist()
        cut = job.reading.preview(token_ids) if job.reading and job.params.stops else None
        end = len(token_ids) if cut is None else cut.before
        return Draft(
            canvas=piece.canvas,
            step=state.step,
            token_ids=token_ids[:end],
            entropy=state.entropy[0, :end].tolist(),
            accepted=state.accepted[0, :end].tolist(),
            noisy_ids=state.canvas[0, :end].tolist(),
            held=0 if job.reading is None else min(job.reading.left, end),
            decode=None if self.tokenizer is None else self.tokenizer.decode,
        )


def check_start(ids: Sequence[int], params: Params, mode: Mode) -> None:
    """Raise ParameterError where an empty prompt leaves nothing to predict the first token from."""
    if ids:
        return
    if mode == "ar":
        raise ParameterError("left to right needs a prompt of at least 1 token, got none")
    if params.logprobs and params.logprobs_kind in (None, "causal"):
        raise ParameterError(
            "causal logprobs need a prompt of at least 1 token, which predicts the first one of "
            "the answer: give one, or another logprobs_kind"
        )


def gather(results: Sequence[Result]) -> Result:
    """The answers to one request as one result."""
    return results[0] if len(results) == 1 else replace(results[0], others=tuple(results[1:]))


def as_event(span: Span) -> Event:
    """An answer's text as the stream's `Text`; what else the reader finds as it is."""
    return Text(delta=span.text) if isinstance(span, Answer) else span
