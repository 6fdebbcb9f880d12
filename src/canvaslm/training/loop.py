"""The training loop: step, log, save; killed at any moment it goes on where it was."""

from __future__ import annotations

import ctypes
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from canvaslm.errors import TrainingError
from canvaslm.model.transformer import Transformer
from canvaslm.training import objective
from canvaslm.training.data import Corpus, PromptRenderer
from canvaslm.training.muon import Muon
from canvaslm.training.pocket import initialise, pocket_config, pocket_tokenizer
from canvaslm.training.recipe import Recipe
from canvaslm.training.state import load_state, save_state


class Trainer:
    """One run: model, optimisers and data of a recipe, advanced a step at a time."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, *, device: torch.device) -> None:
        self.recipe, self.tokenizer, self.device, self.step = recipe, tokenizer, device, 0
        config = pocket_config(recipe, turn_id=tokenizer.token_to_id("<turn|>"))
        self.model = Transformer(config)
        initialise(self.model, seed=recipe.seed)
        self.model.to(device)
        self.corpus = Corpus(recipe, tokenizer, PromptRenderer(tokenizer))
        self.average = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        matrices, vectors = [], []
        for name, parameter in self.model.named_parameters():
            inner = parameter.dim() >= 2 and name != "embedding" and "router" not in name
            (matrices if inner else vectors).append(parameter)
        self.optimisers = (
            Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.weight_decay),
            torch.optim.AdamW(vectors, lr=recipe.vector_lr, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def advance(self) -> dict[str, float]:
        """One optimiser step over every mixture; returns what to log."""
        started, tokens, record = time.perf_counter(), 0, {"step": self.step}
        for name, batch in self.corpus.batches(self.step):
            batch = batch.to(self.device)
            loss = objective.losses(self.model, batch)
            loss.total.backward()
            tokens += batch.documents_BN.numel() + batch.clean_RL.numel()
            record |= {
                f"{name}/causal": float(loss.causal.detach()),
                f"{name}/canvas": float(loss.canvas.detach()),
                f"{name}/accuracy": float(loss.accuracy),
            }
        if not all(map(_finite, record.values())):
            raise TrainingError(f"loss is not finite at step {self.step}: {record}")
        record["norm"] = self.update()
        self.step += 1
        record["seconds"] = time.perf_counter() - started
        record["tokens_per_second"] = tokens / record["seconds"]
        return record

    def update(self) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        rate = self.recipe.rate(self.step)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        keep = min(self.recipe.ema, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - keep)
        return float(norm)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, by name."""
        tensors = {f"model.{n}": p.detach() for n, p in self.model.named_parameters()}
        tensors |= {f"average.{n}": t for n, t in self.average.items()}
        for index, optimiser in enumerate(self.optimisers):
            for slot, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"optimiser.{index}.{slot}.{key}"] = torch.as_tensor(value)
        return tensors

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(tensors[f"model.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
        for index, optimiser in enumerate(self.optimisers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith(f"optimiser.{index}."):
                    _, _, slot, key = name.split(".", 3)
                    state.setdefault(int(slot), {})[key] = value.clone()
            optimiser.load_state_dict(optimiser.state_dict() | {"state": state})
        self.step = step


def train(recipe: Recipe, out: Path, *, resume: bool, device: str = "cpu") -> None:
    """Run `recipe` in folder `out`: state, log and averaged weights are written there."""
    keep_memory()
    tokenizer_file = out / "tokenizer.json"
    if resume and not (out / "state.safetensors").exists():
        raise TrainingError(f"nothing to resume in {out}: start without --resume")
    if not resume and (out / "state.safetensors").exists():
        raise TrainingError(f"{out} already holds a run: use --resume or another folder")
    out.mkdir(parents=True, exist_ok=True)
    if tokenizer_file.exists():
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    else:
        tokenizer = pocket_tokenizer(recipe)
        tokenizer_file.write_text(tokenizer.to_str())
    trainer = Trainer(recipe, tokenizer, device=torch.device(device))
    if resume:
        trainer.restore(*load_state(out))
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
    compile_layers(trainer.model)
    with (out / "log.jsonl").open("a") as log:
        while trainer.step < recipe.steps:
            record = trainer.advance()
            log.write(json.dumps(record) + "\n")
            log.flush()
            if trainer.step % 20 == 0:
                print({k: round(v, 4) for k, v in record.items()}, file=sys.stderr, flush=True)
            if trainer.step % recipe.save_every == 0 or trainer.step == recipe.steps:
                save_state(out, trainer.state(), trainer.step)


def compile_layers(model: Transformer) -> None:
    """Compile what lies between attention calls, once for all layers and lengths."""
    from canvaslm.training.experts import experts

    torch._dynamo.config.recompile_limit = 64
    torch.fx.experimental._config.use_duck_shape = False

    for layer in model.layers:
        mixture = layer.experts
        mixture.forward = lambda x, w, i, m=mixture: experts(x, w, i, m.gate_up, m.down)[0]
        layer.before = torch.compile(layer.before, dynamic=True)
        layer.after = torch.compile(layer.after, dynamic=True)
    conditioning = model.self_conditioning
    conditioning.forward = torch.compile(conditioning.forward, dynamic=True)
    objective.cross_entropy = torch.compile(objective.cross_entropy, dynamic=True)


def keep_memory() -> None:
    """Let glibc keep freed memory: a step's tensors are the next step's, and page faults cost."""
    try:
        library = ctypes.CDLL(None)
        library.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass


def _finite(value: float) -> bool:
    return value - value == 0
