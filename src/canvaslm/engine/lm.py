"""A loaded model: answers, streams of drafts, and the network laid open for research."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from canvaslm.adapter.adapter import Adapter
from canvaslm.adapter.serve import adapted
from canvaslm.cache.attend import Bidirectional
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.engine.checks import check_integer
from canvaslm.engine.decide.answers import Decisions
from canvaslm.engine.decide.calibration import Calibration, Method
from canvaslm.engine.decide.decide import Decider, Rules
from canvaslm.engine.decide.formats import Questions
from canvaslm.engine.decide.layout import Layout, State
from canvaslm.engine.device import Placement
from canvaslm.engine.encode import extend_all
from canvaslm.engine.events import Event
from canvaslm.engine.params import Mode, Params
from canvaslm.engine.prompt import (
    Ids,
    Prompt,
    check_rows,
    need_tokenizer,
    read_prompt,
)
from canvaslm.engine.requests import Requests
from canvaslm.engine.result import Result
from canvaslm.engine.rewriting.document import InfilledDocument
from canvaslm.engine.rewriting.edit import Edited
from canvaslm.engine.rewriting.infill import Infilled
from canvaslm.engine.rewriting.repair import Repaired
from canvaslm.engine.rewriting.rewriter import DOUBT, MAX_GAP, ROUNDS, STRENGTH, Rewriter
from canvaslm.engine.scoring.elbo import Elbo, elbo
from canvaslm.engine.scoring.score import Scores, score
from canvaslm.engine.settings import Settings
from canvaslm.errors import ContextLengthError, ParameterError
from canvaslm.kernels.choose import operations
from canvaslm.model.native import Native
from canvaslm.model.network import Network
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer

# B batch, N tokens, L canvas, V vocabulary

Cache = Literal["auto", "int8"]
"""What K and V are kept in: the type of the queries, or 8 bits with a scale for each token."""


def choose_network(model: Transformer | Native) -> Transformer | Native:
    """The compiled form where this machine can run it: on a CPU, in float32 or bfloat16."""
    if isinstance(model, Native):
        return model
    weight = model.embedding
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.bfloat16):
        return model
    kernels = operations()
    return model if kernels.name == "reference" else Native.of(model, kernels)


def pool_for(
    network: Transformer | Native,
    *,
    cache: Cache = "auto",
    breaks: frozenset[int] = frozenset(),
) -> Pool:
    """Pages in which a network's K and V fit; prompts are cut behind `breaks`. Raises
    ParameterError for int8 ones that nothing reads."""
    if cache not in get_args(Cache):
        raise ParameterError(f'cache must be "auto" or "int8", got {cache!r}')
    if cache == "int8" and not isinstance(network, Native):
        raise ParameterError(
            'cache="int8" needs the compiled kernels and float32, bfloat16 or quantised weights on '
            "the CPU: see `canvaslm doctor`, or leave it out"
        )
    if isinstance(network, Native):
        return Pool(
            network.config,
            device=network.device,
            dtype=network.dtype,
            score_bounds=network.weights.score_bounds,
            attention=network.operations,
            quantised=cache == "int8",
            breaks=breaks,
        )
    weight = network.embedding
    return Pool(
        network.config,
        device=weight.device,
        dtype=weight.dtype,
        score_bounds=network.score_bounds(),
        breaks=breaks,
    )


class LM:
    """A model that answers. Made by `load`; one request at a time.

    `config` is the network's shape, `settings` the checkpoint's generation settings, `placement`
    where it runs, `pool` the prefix pages in use, `calibration` the temperatures of its decisions.
    `network` is what runs: on a CPU the compiled form of `model`, made here of views of its weights
    and copies of some; change `model` first. Of quantised weights `model` is that form itself.
    """

    def __init__(
        self,
        model: Transformer | Native,
        *,
        tokenizer: Tokenizer | None = None,
        settings: Settings | None = None,
        placement: Placement | None = None,
        calibration: Calibration | None = None,
        cache: Cache = "auto",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model, self.config = model, model.config
        network = choose_network(model)
        self.network: Network = network
        self.settings = settings or Settings(eos_ids=frozenset(model.config.eos_ids))
        self.pool = pool_for(network, cache=cache, breaks=self.settings.eos_ids)
        self.placement = placement or Placement(
            device=self.pool.device,
            dtype=self.pool.dtype,
            why_device="as given",
            why_dtype="as given",
        )
        self.calibration = calibration or Calibration()
        self._tokenizer, self._clock = tokenizer, clock

    def through(self, network: Network) -> LM:
        """The same model and pages, with its passes run by another network."""
        other = copy(self)
        other.network = network
        for made in ("decider", "rewriter"):  # of the network, when first asked for
            other.__dict__.pop(made, None)
        return other

    def adapted(self, adapter: Adapter) -> LM:
        """The same weights with an adapter on them, beside this one, over the same pages.

        Nothing is merged: several at once cost what their adapters take. Temperatures of decisions
        are the base's, so they are left behind. Raises TensorError for an adapter of another base,
        ParameterError where there is one already.
        """
        network = adapted(self.network, adapter)
        other = self.through(network)
        other.model, other.calibration = network, Calibration()
        return other

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises MissingTokenizerError if the checkpoint has none."""
        return need_tokenizer(self._tokenizer)

    def generate(
        self, prompt: Prompt, *, params: Params | None = None, mode: Mode = "diffusion"
    ) -> Result:
        """Answer a prompt: text (a user's turn), messages, or token ids.

        `mode` "ar" runs the same weights left to right. Of several answers (`params.n`) the first
        is returned, all are its `choices`. Raises ParameterError and its kinds, TemplateError or
        MissingTokenizerError before any work is done.
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
        return self._requests.answer(prompts, params or Params(), mode, batch=batch)

    def stream(
        self, prompt: Prompt, *, params: Params | None = None, mode: Mode = "diffusion"
    ) -> Iterator[Event]:
        """The same answer as `generate`, as it comes: Draft and Text events, then Done.

        Closing the iterator cancels the request and frees its pages. Raises what `generate` does,
        at the call.
        """
        return self._requests.stream(prompt, params or Params(), mode)

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
        ids_BL = check_rows(canvas_ids, self.config).to(self.placement.device)
        rows, length = ids_BL.shape
        self._check_context(prefix.length + length)
        soft_BLD = None
        if self_conditioning_logits is not None:
            if self_conditioning_logits.shape != (rows, length, self.config.vocab_size):
                raise ParameterError(
                    f"self_conditioning_logits have shape {list(self_conditioning_logits.shape)}, "
                    f"expected {[rows, length, self.config.vocab_size]}"
                )
            logits = self_conditioning_logits.to(self.placement.device)
            soft_BLD = self.model.blend(logits.softmax(dim=-1, dtype=torch.float32))
        positions_BL = torch.arange(length, device=self.placement.device).expand(rows, -1)
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

    def score(
        self, prompt: Prompt, *, continuation: str | Ids | None = None, top: int = 0
    ) -> Scores:
        """Causal log-probabilities: of every token, or of `continuation` given the prompt only.

        Text alone is read as it is, after bos; messages, and a prompt with a `continuation`, as for
        `generate`. The continuation's text is encoded plainly, without a closing token. `top`
        adds so many of the likeliest tokens in each place. Raises ParameterError for an empty text
        or `top` out of range, and what reading a prompt raises.
        """
        return score(
            self.network,
            self.pool,
            prompt,
            continuation=continuation,
            top=top,
            tokenizer=self._tokenizer,
        )

    def elbo(self, prompt: Prompt, answer: str | Ids, *, samples: int = 16, seed: int = 0) -> Elbo:
        """A lower bound on the log-probability that diffusion gives `answer` after the prompt.

        The answer is closed and its last canvas filled with eos, as in training. Each sample takes
        two forwards of two copies of each canvas; the same seed gives the same estimate. Raises
        ParameterError for an empty answer or samples < 1, and what reading a prompt raises.
        """
        return elbo(
            self.network,
            self.pool,
            prompt,
            answer,
            samples=samples,
            seed=seed,
            tokenizer=self._tokenizer,
            eos_ids=self.settings.eos_ids,
        )

    def decide(
        self,
        state: State,
        questions: Questions,
        *,
        method: Method = "denoise",
        orders: int = 1,
        divide_prior: bool = False,
        batch: int | None = None,
    ) -> Decisions:
        """Answer typed questions about a state with probabilities; no text is generated.

        `state` is text, JSON (written with sorted keys) or messages. `questions` are YesNo, Pick
        and Rate by name or in a list, or their JSON: System One's in a mapping, OpenAI's in a list.
        Each is answered as if it were asked alone, to the last bit, and always the same.

        `method` "denoise" reads a small canvas, "causal" the next token. `orders` averages over so
        many orders of a Pick's options; `divide_prior` divides by what is answered without the
        state. `calibration`, the model's, is applied. `batch` > 1 runs so many questions together,
        which may change the rounding; by default as many as change nothing on this machine. Raises
        ParameterError for a question that cannot be asked, ContextLengthError,
        MissingTokenizerError or TemplateError before any work is done.
        """
        rules = Rules(method=method, orders=orders, divide_prior=divide_prior, batch=batch)
        return self.decider.decide(
            state, questions, rules=rules, calibration=self.calibration, clock=self._clock
        )

    @cached_property
    def decider(self) -> Decider:
        """What takes the decisions, and shows the evidence they are calibrated on."""
        layout = Layout(tokenizer=self.tokenizer, config=self.config, eos_ids=self.settings.eos_ids)
        return Decider(self.network, self.pool, layout)

    def infill(
        self,
        prefix: str,
        suffix: str,
        *,
        max_gap: int = MAX_GAP,
        gap: int | None = None,
        params: Params | None = None,
    ) -> Infilled:
        """Write what stands between `prefix` and `suffix`, which come back as they are.

        The model finds the length, at most `max_gap` tokens; `gap` fixes it. `params.constraint`
        is on what is written. Raises ParameterError for a length that does not fit a canvas and for
        a parameter that has no meaning here, ContextLengthError for a document that is too long,
        ConstraintError or MissingTokenizerError before any work is done.
        """
        return self.rewriter.infill(prefix, suffix, max_gap=max_gap, gap=gap, params=params)

    def infill_document(
        self, parts: str | Sequence[str], *, max_gap: int = MAX_GAP, params: Params | None = None
    ) -> InfilledDocument:
        """Fill every gap of a document: those between `parts`, or each `<gap>` of a text.

        From the first to the last, each as `infill` would with all before it filled and those
        after it closed up. Raises what `infill` does, and ParameterError where there is no gap.
        """
        return self.rewriter.infill_document(parts, max_gap=max_gap, params=params)

    def edit(
        self,
        text: str,
        span: tuple[int, int],
        *,
        instruction: str | None = None,
        strength: float = STRENGTH,
        params: Params | None = None,
    ) -> Edited:
        """Write the characters `span`, (start, end), of a text anew from what they say.

        A `strength` share of their tokens, above 0 and at most 1, starts as noise; the others may
        change with them. With an `instruction`, which the prompt then shows, or a constraint the
        span may become longer or shorter, else it keeps its number of tokens. All else comes back
        as it is. Raises ParameterError for a span that is empty, reversed, outside the text or
        longer than a canvas, and what `infill` does.
        """
        return self.rewriter.edit(
            text, span, instruction=instruction, strength=strength, params=params
        )

    def repair(
        self,
        text: str,
        *,
        prompt: str | None = None,
        doubt: float = DOUBT,
        rounds: int = ROUNDS,
        params: Params | None = None,
    ) -> Repaired:
        """Draft anew what the causal mode doubts in a text, and keep it if that scores better.

        In doubt are tokens that have less than -`doubt` nats after what stands before them. All
        others are pinned; each canvas of the text has at most `rounds` drafts. `prompt` is what the
        text answers, if anything. Raises ParameterError and ContextLengthError before any work is
        done.
        """
        return self.rewriter.repair(text, prompt=prompt, doubt=doubt, rounds=rounds, params=params)

    @cached_property
    def rewriter(self) -> Rewriter:
        """What fills gaps, edits and repairs, with the rules that studies change."""
        return Rewriter(
            network=self.network,
            pool=self.pool,
            settings=self.settings,
            tokenizer=self.tokenizer,
            clock=self._clock,
        )

    def warm_up(self) -> None:
        """Do now what the first decision and the first infill would wait for: try out how many
        questions may run together, and fit what a gap's length alone does.

        A model without a tokenizer or an end of answers has neither, and nothing is done.
        """
        if self._tokenizer is not None and self.settings.eos_ids:
            _ = self.decider.together, self.rewriter.length_bias

    @property
    def _requests(self) -> Requests:
        return Requests(
            network=self.network,
            pool=self.pool,
            settings=self.settings,
            tokenizer=self._tokenizer,
            clock=self._clock,
        )

    def _check_context(self, tokens: int) -> None:
        if tokens > self.config.max_positions:
            raise ContextLengthError(
                f"{tokens} tokens do not fit: the model's context is {self.config.max_positions}"
            )
