"""A loaded model: answers, streams of drafts, and the network laid open for research."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from canvaslm.cache.attend import Bidirectional
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.checkpoint.folder import open_checkpoint
from canvaslm.engine.device import Choice, choose
from canvaslm.engine.diffuse import Commit, Pass, counter_draws, diffuse
from canvaslm.engine.encode import extend_all
from canvaslm.engine.events import Done, Draft, Event, Text
from canvaslm.engine.job import Job
from canvaslm.engine.left_to_right import left_to_right
from canvaslm.engine.load import load_model
from canvaslm.engine.params import Mode, Params, check_integer
from canvaslm.engine.prompt import (
    Ids,
    Prompt,
    TemplateOptions,
    check_length,
    check_rows,
    need_tokenizer,
    read_prompt,
)
from canvaslm.engine.result import Result
from canvaslm.engine.settings import Settings
from canvaslm.errors import ContextLengthError, ParameterError
from canvaslm.model.fused import Fused
from canvaslm.model.network import Network
from canvaslm.model.presets import parameter_count
from canvaslm.model.transformer import Transformer
from canvaslm.text.spans import Answer, Span, SpanReader
from canvaslm.text.tokenizer import Tokenizer

# B batch, N tokens, L canvas, V vocabulary

FUSED_PARAMETERS = 1 << 24  # at most 64 MB copied
POCKET = Path(__file__).resolve().parent.parent / "pocket"


def load(path: str | Path | None = None, *, device: str = "auto", dtype: str = "auto") -> LM:
    """Load a checkpoint folder or hub id, or without `path` the embedded model.

    `device` is auto, cpu, cuda or cuda:N; `dtype` auto, float32, bfloat16, float16 or float64.
    `lm.choice` says what auto came to and why. Raises CheckpointError and its kinds for a
    checkpoint that cannot be used, ParameterError for a device or dtype that is not there.
    """
    checkpoint = open_checkpoint(POCKET if path is None else path)
    choice = choose(
        device, dtype, stored=checkpoint.dtype, parameters=parameter_count(checkpoint.config)
    )
    return LM(
        load_model(checkpoint, device=choice.device, dtype=choice.dtype),
        tokenizer=Tokenizer.from_folder(checkpoint.path),
        settings=Settings.read(checkpoint.generation, checkpoint.config),
        choice=choice,
    )


def choose_network(model: Transformer) -> Network:
    """The faster form where it pays, which is while the weights fit into a core's caches."""
    weight = model.embedding
    small = sum(parameter.numel() for parameter in model.parameters()) <= FUSED_PARAMETERS
    exact = weight.dtype == torch.float32 and weight.device.type == "cpu"
    return Fused(model) if small and exact else model


class LM:
    """A model that answers. Made by `load`; one request at a time.

    `config` is the network's shape, `settings` the checkpoint's generation settings, `choice` where
    it runs, `pool` the prefix pages in use. `network` is what runs: `model` itself, or for a small
    float32 model on a CPU a fused copy made here, which later changes of `model` do not reach.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        tokenizer: Tokenizer | None = None,
        settings: Settings | None = None,
        choice: Choice | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        weight = model.embedding
        self.model, self.config = model, model.config
        self.network = choose_network(model)
        self.settings = settings or Settings(eos_ids=frozenset(model.config.eos_ids))
        self.choice = choice or Choice(
            device=weight.device, dtype=weight.dtype, why_device="as given", why_dtype="as given"
        )
        self.pool = Pool(
            model.config,
            device=weight.device,
            dtype=weight.dtype,
            score_bounds=model.score_bounds(),
        )
        self._tokenizer, self._clock = tokenizer, clock

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises MissingTokenizerError if the checkpoint has none."""
        return need_tokenizer(self._tokenizer)

    def generate(
        self, prompt: Prompt, *, params: Params | None = None, mode: Mode = "diffusion"
    ) -> Result:
        """Answer a prompt: text (a user's turn), messages, or token ids.

        `mode` "ar" runs the same weights left to right. Raises ParameterError, TemplateError,
        ContextLengthError or MissingTokenizerError before any work is done.
        """
        return self.generate_many([prompt], params=params, mode=mode)[0]

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        params: Params | None = None,
        mode: Mode = "diffusion",
        batch: int = 1,
    ) -> list[Result]:
        """Answer many prompts, each as `generate` would alone, in their order.

        `batch` > 1 denoises so many together, which a GPU repays; then rounding may decide a token
        otherwise than alone, and `seconds` are the group's.
        """
        # One at a time keeps "same seed, same text" to the bit: a product of few rows, as an expert
        # may get, rounds differently in company. On a CPU little is lost, as the 256 rows of one
        # canvas fill it: four at a time were 8 % faster on one core and 19 % on two.
        check_integer("batch", batch, least=1)
        if mode == "ar" and batch > 1:
            raise ParameterError(
                f'batch={batch} would have no effect with mode="ar", which runs one request at a '
                "time: leave it out"
            )
        jobs = [self._job(prompt, params or Params(), mode) for prompt in prompts]
        groups = [jobs[i : i + batch] for i in range(0, len(jobs), batch)]
        return [result for group in groups for result in self._finish(group, mode)]

    def stream(
        self, prompt: Prompt, *, params: Params | None = None, mode: Mode = "diffusion"
    ) -> Iterator[Event]:
        """The same answer as `generate`, as it comes: Draft and Text events, then Done.

        Closing the iterator cancels the request and frees its pages. Raises what `generate` does,
        at the call.
        """
        return self._events(self._job(prompt, params or Params(), mode), mode)

    def prefill(self, prompt: Prompt) -> Prefix:
        """Encode a prompt into prefix K/V. Free it after use, or use it in a `with` statement."""
        ids = read_prompt(prompt, tokenizer=self._tokenizer, config=self.config)
        self._check_context(len(ids))
        prefix = Prefix(self.pool)
        try:
            with torch.inference_mode():
                for _ in extend_all(self.network, prefix, ids):
                    pass
        except BaseException:
            prefix.free()
            raise
        return prefix

    @torch.inference_mode()
    def denoise_logits(
        self,
        prefix: Prefix,
        canvas_ids: Ids | Sequence[Sequence[int]],
        self_conditioning_logits: Tensor | None = None,
    ) -> Tensor:
        """Logits of canvases [L] or [B, L] after one prefix: float32 [B, L, V], soft-capped.

        `self_conditioning_logits` [B, L, V] are those of the step before, after temperature; None
        is a first step. Nothing is written to the prefix.
        """
        ids_BL = check_rows(canvas_ids, self.config).to(self.choice.device)
        rows, length = ids_BL.shape
        self._check_context(prefix.length + length)
        soft_BLD = None
        if self_conditioning_logits is not None:
            if self_conditioning_logits.shape != (rows, length, self.config.vocab_size):
                raise ParameterError(
                    f"self_conditioning_logits have shape {list(self_conditioning_logits.shape)}, "
                    f"expected {[rows, length, self.config.vocab_size]}"
                )
            soft_BLD = self.model.soften(self_conditioning_logits.to(self.choice.device))
        positions_BL = torch.arange(length, device=self.choice.device).expand(rows, -1)
        attend = Bidirectional([prefix] * rows)
        return self.network.unembed(
            self.network.denoise(ids_BL, soft_BLD, positions_BL + prefix.length, attend)
        )

    @torch.inference_mode()
    def causal_logits(self, ids: Ids | Sequence[Sequence[int]]) -> Tensor:
        """Left-to-right logits of ids [N] or [B, N]: float32 [B, N, V], soft-capped."""
        ids_BN = check_rows(ids, self.config)
        self._check_context(ids_BN.shape[1])
        logits = []
        for row in ids_BN.tolist():
            with Prefix(self.pool) as prefix:
                hidden_1ND = torch.cat(list(extend_all(self.network, prefix, row)), dim=1)
                logits.append(self.network.unembed(hidden_1ND))
        return torch.cat(logits)

    def _job(self, prompt: Prompt, params: Params, mode: Mode) -> Job:
        params.check_mode(mode)
        sampler = self.settings.sampler(params)
        ids = read_prompt(
            prompt,
            tokenizer=self._tokenizer,
            config=self.config,
            options=TemplateOptions(thinking=params.thinking, tools=params.tools),
        )
        if mode == "ar" and not ids:
            raise ParameterError("left to right needs a prompt of at least 1 token, got none")
        check_length(len(ids), answer=params.max_tokens, mode=mode, config=self.config)
        return Job(
            prompt=ids,
            params=params,
            seed=secrets.randbits(31) if params.seed is None else params.seed,
            eos_ids=self.settings.eos_ids,
            sampler=sampler,
        )

    def _finish(self, jobs: Sequence[Job], mode: Mode) -> list[Result]:
        started = self._clock()
        for _ in self._run(jobs, mode):
            pass
        return [self._result(job, self._clock() - started) for job in jobs]

    def _run(self, jobs: Sequence[Job], mode: Mode) -> Generator[Pass | Commit, None, None]:
        if mode == "ar":
            for ids in left_to_right(self.network, self.pool, jobs[0]):
                yield Commit(row=0, ids=ids)
            return
        yield from diffuse(
            self.network,
            self.pool,
            jobs,
            draws=counter_draws(self.network, jobs),
        )

    def _events(self, job: Job, mode: Mode) -> Iterator[Event]:
        started = self._clock()
        reader = None if self._tokenizer is None else SpanReader(self._tokenizer)
        with closing(self._run([job], mode)) as pieces:
            for piece in pieces:
                if isinstance(piece, Pass):
                    yield self._draft(piece)
                elif reader is not None:
                    yield from map(as_event, reader.push(piece.ids))
        if reader is not None:
            yield from map(as_event, reader.finish())
        yield Done(result=self._result(job, self._clock() - started))

    def _draft(self, piece: Pass) -> Draft:
        state = piece.state
        return Draft(
            canvas=piece.canvas,
            step=state.step,
            token_ids=state.best[0].tolist(),
            entropy=state.entropy[0].tolist(),
            accepted=state.accepted[0].tolist(),
            noisy_ids=state.canvas[0].tolist(),
            decode=None if self._tokenizer is None else self._tokenizer.decode,
        )

    def _result(self, job: Job, seconds: float) -> Result:
        if self._tokenizer is None:
            return job.result(spans=None, seconds=seconds)
        reader = SpanReader(self._tokenizer)
        return job.result(spans=[*reader.push(job.ids), *reader.finish()], seconds=seconds)

    def _check_context(self, tokens: int) -> None:
        if tokens > self.config.max_positions:
            raise ContextLengthError(
                f"{tokens} tokens do not fit: the model's context is {self.config.max_positions}"
            )


def as_event(span: Span) -> Event:
    """An answer's text as the stream's `Text`; what else the reader finds as it is."""
    return Text(delta=span.text) if isinstance(span, Answer) else span
