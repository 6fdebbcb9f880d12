"""One training run in memory: model, optimisers, averaged weights, advanced a step at a time."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from canvaslm.errors import DivergedError, TrainingError
from canvaslm.kernels.choose import training
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.compiled import group_experts, recompute, speed_up
from canvaslm.training.data.batch import Micro
from canvaslm.training.diverged import diverged
from canvaslm.training.group import Alone, Group
from canvaslm.training.learner import Learner
from canvaslm.training.optimise.average import Average
from canvaslm.training.optimise.choose import Adafactor
from canvaslm.training.recipe import Recipe
from canvaslm.training.speed import operations
from canvaslm.training.way import Way

Record = dict[str, float]
STOPS = (signal.SIGINT, signal.SIGTERM)


class Trainer:
    """The state of a run. Equal recipes give equal runs; `state` and `restore` lose nothing.

    `average` is an exponential mean of the weights, and is what a run is exported as.
    """

    def __init__(
        self,
        recipe: Recipe,
        tokenizer: Tokenizer,
        *,
        device: torch.device,
        group: Group | None = None,
        way: Way = "plain",
    ) -> None:
        if way != "plain" and recipe.recompute:
            raise TrainingError(f"{way} layers keep their activations: choose one of the two")
        self.recipe, self.device, self.step, self.group = recipe, device, 0, group or Alone()
        if way != "plain" and self.group.sharded:
            raise TrainingError(f"sharded layers are not {way}: choose one of the two")
        self.native = training() if way == "fused" and device.type == "cpu" else None
        if way == "fused" and self.native is None:
            raise TrainingError(
                f"there are no fused operations for {device}: they need a CPU and compiled "
                'kernels, take way="plain" or "compiled"'
            )
        if self.group.sharded and isinstance(recipe.optimise, Adafactor):
            raise TrainingError("PyTorch's Adafactor cannot be sharded: take AdamW or MuonAdamW")
        self.model = recipe.start.network(tokenizer, seed=recipe.seed)
        self.feed = recipe.data.open(tokenizer, self.model.config, seed=recipe.seed)
        if self.group.sharded and self.feed.own:
            raise TrainingError(
                "batches made of the model's own outputs (Puzzles, Fewer) take another number of "
                "passes in each process, which cannot be sharded: train without --sharded"
            )
        self.parameters = dict(recipe.part.prepare(self.model, seed=recipe.seed))
        self.model.to(device)
        if way == "compiled":
            speed_up(self.model)
        if self.native is not None:
            group_experts(self.model)
        if recipe.recompute:
            recompute(self.model)
        self.spread()
        self.average = None if recipe.ema is None else Average.of(self.parameters, recipe.ema)
        self.optimisers = recipe.optimise.build(self.parameters)
        self.best, self.stale, self.measured = math.inf, 0, 0

    def spread(self) -> None:
        """Hand the network to the group, and find what learns in what came of it."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        even = not isinstance(self.group, Alone)
        learner = Learner(
            self.model, recompute=self.recipe.recompute, even=even, native=self.native
        )
        self.learner = self.group.spread(learner)
        now = dict(self.model.named_parameters())
        self.parameters = {key: now[names[id(p)]] for key, p in self.parameters.items()}

    def advance(self) -> Record:
        """One optimiser step; returns what to log.

        Raises DivergedError, before anything is changed, if a loss or gradient is not finite.
        """
        started, micros = time.perf_counter(), self.feed.micros(self.step)
        record, done, tokens = self.learn_all(micros)
        with uninterrupted():
            norm = self.update(micros)
            self.step += 1
        seconds = time.perf_counter() - started
        return {
            "step": float(self.step - 1),
            **record,
            "norm": norm,
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            "operations_per_second": done / seconds,
        }

    def learn_all(self, micros: Sequence[Micro]) -> tuple[Record, float, float]:
        """Add up the gradients of a step; what to log, operations done, tokens seen."""
        record: Record = {}
        work = {"operations": 0.0, "tokens": 0.0}
        problem: DivergedError | None = None
        shared = self.group.share(micros)
        for index, micro in enumerate(shared, start=1):
            with self.group.learning(self.learner, last=index == len(shared)):
                learnt = self.learn(micro)
            if problem is None and not all(map(math.isfinite, learnt.values())):
                problem = diverged(self.step, micro, f"the loss is not finite: {learnt}")
            add(record, learnt, micro.name)
            work["operations"] += operations(self.model.config, micro.batch)
            work["tokens"] += micro.batch.tokens
        self.check(problem)
        record["loss"] = sum(v for k, v in record.items() if not k.endswith("accuracy"))
        work = self.group.total(work)
        return self.group.total(record), work["operations"], work["tokens"]

    def check(self, problem: DivergedError | None) -> None:
        """End the step in all processes, before anything is changed, if one has a problem."""
        try:
            self.group.agree(problem)
        except TrainingError:
            self.forget()
            raise

    def learn(self, micro: Micro) -> Record:
        """Add one micro-batch's gradient; returns its share of the step's losses."""
        with self.precision():
            causal, canvas, accuracy = self.learner(micro.batch.to(self.device))
            total = causal * micro.causal_weight + canvas * micro.canvas_weight
        (total * self.group.scale).backward()
        return {
            "causal": float(causal.detach()) * micro.causal_weight,
            "canvas": float(canvas.detach()) * micro.canvas_weight,
            "accuracy": float(accuracy) * micro.canvas_weight,
        }

    @torch.no_grad()
    def measure(self, batches: int) -> Record:
        """Losses on held-out data, with the weights that would be exported now.

        Remembers the best, and for how many measurements there was none better.
        """
        record: Record = {}
        with self.showing(self.weights()):
            for micro in self.group.share(self.feed.held_out(batches)):
                with self.precision():
                    causal, canvas, _ = self.learner(micro.batch.to(self.device))
                parts = {
                    "causal": float(causal) * micro.causal_weight,
                    "canvas": float(canvas) * micro.canvas_weight,
                }
                add(record, parts, "held_out")
        if not record:
            raise TrainingError("nothing is held out: set `held_out`, or leave `watch` out")
        record["held_out/loss"] = sum(record.values())
        record = self.group.total(record)
        better = record["held_out/loss"] < self.best
        self.best = min(self.best, record["held_out/loss"])
        self.stale, self.measured = 0 if better else self.stale + 1, self.step
        return record

    def precision(self) -> AbstractContextManager[object]:
        """bfloat16 products where the recipe asks for them, the rest and the weights in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16)

    def update(self, micros: Sequence[Micro]) -> float:
        """One step of the optimisers and of the averaged weights; returns the gradient's norm."""
        length = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.clip)
        norm = float(self.group.whole(length))
        if not math.isfinite(norm):
            problem = diverged(self.step, micros[0], f"the gradient's length is {norm}")
            self.check(problem if self.group.leads else None)
        rate = self.recipe.rate(self.step)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * rate
            optimiser.step()
        self.forget()
        if self.average is not None:
            self.average.update(self.parameters, self.step)
        return norm

    def forget(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def weights(self) -> Mapping[str, Tensor]:
        """What is exported: the averaged weights, or the last where none are averaged."""
        return self.parameters if self.average is None else self.average.weights

    @contextmanager
    def showing(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """The model with other weights, until the block ends."""
        if self.group.sharded:
            with self.holding(weights):
                yield
            return
        held = {name: parameter.data for name, parameter in self.parameters.items()}
        try:
            for name, parameter in self.parameters.items():
                parameter.data = weights[name].detach()
            yield
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = held[name]

    @contextmanager
    def holding(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """`showing` for shards, which are views: copied, not exchanged."""
        held = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        try:
            self.take(weights)
            yield
        finally:
            self.take(held)

    @torch.no_grad()
    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights, whole or shares, into the model."""
        self.group.settle(self.learner)
        for name, parameter in self.parameters.items():
            parameter.copy_(self.group.cut(weights[name], parameter))

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, by name; the same for any number of processes."""
        tensors = {f"model.{n}": p.detach() for n, p in self.parameters.items()}
        if self.average is not None:
            tensors |= {f"average.{n}": t for n, t in self.average.weights.items()}
        for index, optimiser in enumerate(self.optimisers):
            for slot, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"optimiser.{index}.{slot}.{key}"] = torch.as_tensor(value)
        tensors["watch"] = torch.tensor([self.best, self.stale, self.measured], dtype=torch.float64)
        return self.gather(tensors)

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors; where they are shared, only the leading process keeps them."""
        gathered: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            whole = self.group.whole(tensor.detach())
            if self.group.leads:
                gathered[name] = whole.cpu() if self.group.sharded else whole
        return gathered

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take over a saved state. Raises TrainingError if it is of another model."""
        try:
            self.restore_weights(tensors)
            self.restore_optimisers(tensors, step)
        except (KeyError, RuntimeError, IndexError, ValueError) as error:
            raise TrainingError(
                f"the saved state is of another model or optimiser ({error}): resume with the "
                "recipe that the run was started with"
            ) from error
        if "watch" in tensors:
            self.best, *counts = tensors["watch"].tolist()
            self.stale, self.measured = map(int, counts)
        self.step = step

    def restore_weights(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            kept: dict[str, Tensor] = {f"model.{name}": parameter}
            if self.average is not None:
                kept[f"average.{name}"] = self.average.weights[name]
            for key, own in kept.items():
                if tensors[key].shape != own.shape:  # a copy would stretch it
                    found, wanted = list(tensors[key].shape), list(own.shape)
                    raise ValueError(f"{key} is {found}, expected {wanted}")
                own.copy_(self.group.cut(tensors[key], own))

    def restore_optimisers(self, tensors: Mapping[str, Tensor], step: int) -> None:
        for index, optimiser in enumerate(self.optimisers):
            learning = [p for held in optimiser.param_groups for p in held["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimiser.{index}."):
                    _, _, slot, key = name.split(".", 3)
                    mine = self.group.cut(value, learning[int(slot)]).clone()
                    state.setdefault(int(slot), {})[key] = mine
            if step and not state:
                raise ValueError(f"it has nothing of optimiser {index}")
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def add(record: Record, parts: Mapping[str, float], name: str) -> None:
    for key, value in parts.items():
        record[f"{name}/{key}"] = record.get(f"{name}/{key}", 0.0) + value


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back until the block is done: half an update must never be saved."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread
        return
    held: list[int] = []
    before = {one: signal.signal(one, lambda number, _: held.append(number)) for one in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])
