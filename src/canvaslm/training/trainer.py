"""One training run in memory: model, optimisers, averaged weights, advanced a step at a time."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.model.config import ModelConfig
from canvaslm.model.presets import pocket
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data import Batch, Corpus, control
from canvaslm.training.muon import Muon
from canvaslm.training.objective import losses
from canvaslm.training.pocket import initialise_for_training
from canvaslm.training.recipe import Recipe

Record = dict[str, float]


class Trainer:
    """The state of a run. Equal recipes give equal runs; `state` and `restore` lose nothing.

    Matrices learn by Muon, embeddings, routers and vectors by AdamW. `average` is an exponential
    mean of the weights, and is what a run is exported as.
    """

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, *, device: torch.device) -> None:
        self.recipe, self.device, self.step = recipe, device, 0
        self.model = Transformer(shape(recipe, tokenizer))
        initialise_for_training(self.model, seed=recipe.seed)
        self.model.to(device)
        self.corpus = Corpus(recipe, tokenizer)
        self.parameters = dict(self.model.named_parameters())
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        inner = {n for n, p in self.parameters.items() if is_matrix(n, p)}
        self.optimisers = (
            Muon(
                [p for n, p in self.parameters.items() if n in inner],
                lr=recipe.matrix_lr,
                weight_decay=recipe.weight_decay,
            ),
            torch.optim.AdamW(
                [p for n, p in self.parameters.items() if n not in inner],
                lr=recipe.vector_lr,
                betas=(0.9, 0.98),
                weight_decay=0.0,
            ),
        )

    def advance(self) -> Record:
        """One optimiser step over the step's mixtures; returns what to log.

        Raises TrainingError, before anything is changed, if a loss is not finite.
        """
        started, tokens, record = time.perf_counter(), 0, {"step": float(self.step)}
        for name, batch in self.corpus.batches(self.step):
            tokens += batch.tokens
            record |= {f"{name}/{key}": value for key, value in self.learn(batch).items()}
        if not all(map(math.isfinite, record.values())):
            raise TrainingError(
                f"the loss is not finite at step {self.step}: {record}. Lower the learning rates, "
                "or go on from the last saved state with --resume"
            )
        with uninterrupted():
            record["norm"] = self.update()
            self.step += 1
        record["seconds"] = time.perf_counter() - started
        record["tokens_per_second"] = tokens / record["seconds"]
        return record

    def learn(self, batch: Batch) -> Record:
        """Add one micro-batch's gradient."""
        with self.precision():
            loss = losses(self.model, batch.to(self.device))
        loss.total.backward()  # type: ignore[no-untyped-call]
        return {
            "causal": float(loss.causal.detach()),
            "canvas": float(loss.canvas.detach()),
            "accuracy": float(loss.accuracy),
        }

    def precision(self) -> AbstractContextManager[object]:
        """bfloat16 products where the recipe asks for them, the rest and the weights in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16)

    def update(self) -> float:
        """One step of both optimisers and of the averaged weights; returns the gradient's norm."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.clip)
        rate = self.recipe.rate(self.step)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        keep = min(self.recipe.ema, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.average[name].lerp_(parameter, 1 - keep)
        return float(norm)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, by name."""
        tensors = {f"model.{n}": p.detach() for n, p in self.parameters.items()}
        tensors |= {f"average.{n}": t for n, t in self.average.items()}
        for index, optimiser in enumerate(self.optimisers):
            for slot, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"optimiser.{index}.{slot}.{key}"] = torch.as_tensor(value)
        return tensors

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take over a saved state. Raises TrainingError if it is of another model."""
        try:
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"model.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
        except (KeyError, RuntimeError) as error:
            raise TrainingError(
                f"the saved state is of another model ({error}): resume with the recipe that the "
                "run was started with"
            ) from error
        for index, optimiser in enumerate(self.optimisers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimiser.{index}."):
                    _, _, slot, key = name.split(".", 3)
                    state.setdefault(int(slot), {})[key] = value.clone()
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        self.step = step

    @torch.no_grad()
    def averaged(self) -> Transformer:
        """A network of its own with the averaged weights."""
        model = Transformer(self.model.config)
        for name, parameter in model.named_parameters():
            parameter.copy_(self.average[name])
        return model.eval()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done: half an update must never be saved."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        signal.raise_signal(signal.SIGINT)


def shape(recipe: Recipe, tokenizer: Tokenizer) -> ModelConfig:
    """The network that a recipe trains."""
    return pocket(
        hidden_size=recipe.hidden_size,
        layers=recipe.num_layers,
        vocab_size=recipe.vocab_size,
        eos_ids=(control(tokenizer, "<eos>"), control(tokenizer, "<turn|>")),
    )


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon may turn its update: a product's weight, not a table or a router."""
    return parameter.dim() >= 2 and name != "embedding" and "router" not in name
