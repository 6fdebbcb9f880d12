"""A training step rehearsed on tensors without memory: what autograd keeps, and the most at once.

PyTorch's fake tensors have shapes and types but no numbers, so the step of a model of any size is
gone through in seconds, by the code that a run is trained with, and every tensor is counted while
it would live. Experts are what cannot be gone through, as who takes which token depends on numbers:
here two of them share all tokens, which keeps as much.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from canvaslm.model.moe import Experts
from canvaslm.model.transformer import Transformer
from canvaslm.training.attend import ReadingCanvas, RecordingCausal
from canvaslm.training.compiled import recompute
from canvaslm.training.objective import scoring

# B documents, N document tokens, P prompt, R canvases, L canvas length, S slots of experts

REHEARSED = 2
"""Experts that share all tokens between them."""

DEVICE = torch.ops.prim.device.default

Build = Callable[[], tuple[Transformer, Iterable[nn.Parameter]]]
"""The network, and what of it learns."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of a micro-batch: documents of `prompt` + `canvas` tokens, canvases of each."""

    documents: int
    prompt: int
    canvas: int
    noises: int = 1

    @property
    def encoded(self) -> int:
        """Tokens that go through the encoder."""
        return self.documents * (self.prompt + self.canvas)

    @property
    def denoised(self) -> int:
        return self.documents * self.noises * self.canvas


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Bytes that are kept for the gradient, by whom, and the most that a step ever holds.

    `most` is beyond the weights, the adapter and all gradients, which are there from the second
    micro-batch on; of it, `transient` is what is not kept. It is the most of `ends`, while the
    first layer runs or the last, or what is outside all, and of `between`, each of which follows
    one of those and is followed by one.
    """

    encoder: int
    denoiser: int
    heads: int
    ends: tuple[int, ...]
    between: tuple[int, ...]

    @property
    def most(self) -> int:
        return max((*self.ends, *self.between))

    @property
    def kept(self) -> int:
        return self.encoder + self.denoiser + self.heads

    @property
    def transient(self) -> int:
        return max(0, self.most - self.kept)


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Bytes of the tensors that live, and the most of them since the last `turn`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live, self.most = 0, 0
        self.peaks: list[int] = []
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is DEVICE:  # asked for all the time; going on to the fake tensors takes long
            return args[0].fake_device
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self.meet(leaf)
        return found

    def turn(self, _: object = None) -> None:
        """Begin with a new part of the step."""
        self.peaks.append(self.most)
        self.most = self.live

    def meet(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def gone(_: object) -> None:
            self.live -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, gone)
        self.live += size
        self.most = max(self.most, self.live)


class Seen(ReadingCanvas):
    """Every canvas after a prompt of the same length, behind a mask as if lengths differed."""

    def __init__(self, recorded: RecordingCausal, sizes: Sizes) -> None:
        self.recorded, self.longest = recorded, sizes.prompt
        mask = torch.ones(len(recorded.keys[0]), 1, 1, sizes.prompt, dtype=torch.bool)
        self.masks = {layer.window: mask for layer in recorded.config.layers}


def rehearse(build: Build, sizes: Sizes, *, bfloat16: bool, again: bool) -> Kept:
    """What one step holds; `again` computes activations anew, as `Recipe.recompute` does."""
    with FakeTensorMode(), Counter() as counter:
        model, learning = build()
        for parameter in learning:
            parameter.grad = torch.empty_like(parameter)
        for module in model.modules():
            if isinstance(module, Experts):
                share_evenly(module)
        if again:
            recompute(model)
        watch(model, counter)
        return step(model, sizes, counter, bfloat16=bfloat16, again=again)


def watch(model: Transformer, counter: Counter) -> None:
    """Turn when the first layer is left and when the last one is entered, on the way there and on
    the way back."""
    if len(model.layers) < 2:
        return
    left: list[Tensor] = []

    def leave(_: object, given: object, h_BND: Tensor) -> None:
        left[:] = [h_BND]
        counter.turn()

    def enter(_: object, given: tuple[Tensor, ...]) -> None:
        counter.turn()
        if left[0].requires_grad:
            given[0].register_hook(counter.turn)  # type: ignore[no-untyped-call]
            left[0].register_hook(counter.turn)  # type: ignore[no-untyped-call]
        left.clear()

    model.layers[0].register_forward_hook(leave)
    model.layers[-1].register_forward_pre_hook(enter)


def step(
    model: Transformer, sizes: Sizes, counter: Counter, *, bfloat16: bool, again: bool
) -> Kept:
    """`training.objective.losses` of made-up tokens, and its gradient."""
    score, rows = scoring(recompute=again), sizes.documents * sizes.noises
    counter.most = before = counter.live
    marks = [before]
    documents_BN = torch.zeros(sizes.documents, sizes.prompt + sizes.canvas, dtype=torch.int64)
    canvas_RL = torch.zeros(rows, sizes.canvas, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        recorded = RecordingCausal(model.config)
        place_1N = torch.arange(documents_BN.shape[1])[None]
        hidden = model.encode(documents_BN, place_1N, recorded)
        marks.append(counter.live)
        loss = score(model, hidden[:, :-1], documents_BN[:, 1:])[0].mean()
        marks.append(counter.live)
        with torch.no_grad():
            row_R = torch.zeros(rows, dtype=torch.int64)
            seen = Seen(recorded.rows(row_R), sizes)
            guess = model.unembed(model.denoise(canvas_RL, None, place_of(sizes), seen))
            soft = model.soften(guess).to(model.embedding.dtype)
            del seen, guess
        seen = Seen(recorded.each(sizes.noises), sizes)
        hidden = model.denoise(canvas_RL, soft, place_of(sizes), seen)
        marks.append(counter.live)
        loss = loss + score(model, hidden, canvas_RL)[0].mean()
        marks.append(counter.live)
    loss.backward()  # type: ignore[no-untyped-call]
    encoder, first, denoiser, second = (b - a for a, b in pairwise(marks))
    counter.turn()
    peaks = [peak - before for peak in counter.peaks]
    return Kept(
        encoder=encoder,
        denoiser=denoiser,
        heads=first + second,
        ends=tuple(peaks[::2]),
        between=tuple(peaks[1::2]),
    )


def place_of(sizes: Sizes) -> Tensor:
    return torch.zeros(sizes.documents * sizes.noises, sizes.canvas, dtype=torch.int64)


def share_evenly(module: Experts) -> None:
    """Let the first two experts take half of all tokens each, instead of whom the router names."""

    def forward(x_TD: Tensor, weights_TK: Tensor, index_TK: Tensor) -> Tensor:
        order_S = index_TK.flatten().argsort(stable=True)
        token_S = order_S // index_TK.shape[1]
        rows = x_TD[token_S].tensor_split(min(REHEARSED, module.count))
        found = [module.expert(e, rows_e) for e, rows_e in enumerate(rows)]
        weighted = torch.cat(found) * weights_TK.flatten()[order_S, None]
        return torch.zeros_like(x_TD).index_add(0, token_S, weighted.to(x_TD.dtype))

    module.forward = forward  # type: ignore[method-assign]
