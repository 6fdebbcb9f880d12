"""Tokens per second of one checkpoint: diffusion, the same left to right, and transformers.

All three run in turn in this one process, on the same weights, prompts and sampler settings, so
that whatever else the machine does falls on all of them; medians are over the rounds.

    python bench/generate.py [FOLDER] [--task scenes] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import canvaslm
from canvaslm import LM, Params, tasks
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.loading import POCKET
from canvaslm.engine.params import Mode
from canvaslm.eval.machine import describe_device
from canvaslm.model.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Run:
    """One answer of one engine."""

    tokens: int
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """Medians of one engine over rounds; `steps` are forward passes for each answer."""

    engine: str
    tokens_per_second: float
    ms_per_step: float
    steps: float
    tokens: float


Engine = Callable[[Sequence[int], int], Run]


def ours(lm: LM, params: Params, *, mode: Mode) -> Engine:
    def answer(prompt: Sequence[int], seed: int) -> Run:
        usage = lm.generate(prompt, params=replace(params, seed=seed), mode=mode).usage
        return Run(tokens=usage.completion_tokens, steps=usage.steps, seconds=usage.seconds)

    return answer


def transformers(folder: Path, lm: LM, params: Params) -> Engine:
    """transformers' own generate, counting its denoising passes through tokens_per_forward."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
        EntropyBoundSamplerConfig,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    model: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=lm.placement.dtype)
    model.eval().to(lm.placement.device)
    rules = lm.settings.sampler(params)
    options = {
        "max_new_tokens": params.max_tokens,
        "max_denoising_steps": rules.max_steps,
        "sampler_config": EntropyBoundSamplerConfig(entropy_bound=rules.accept.bound),
        "t_min": rules.temperature.t_min,
        "t_max": rules.temperature.t_max,
        "stability_threshold": rules.stop.stability,
        "confidence_threshold": rules.stop.confidence,
        "eos_token_id": sorted(lm.settings.eos_ids) or None,
        "pad_token_id": lm.config.pad_id,
    }

    def answer(prompt: Sequence[int], seed: int) -> Run:
        torch.manual_seed(seed)
        ids = torch.tensor([list(prompt)], device=lm.placement.device)
        started = time.perf_counter()
        output = model.generate(ids, **options)
        seconds = time.perf_counter() - started
        said = output.sequences[0, len(prompt) :][: params.max_tokens]
        tokens = int((said != lm.config.pad_id).sum())
        # it counts the tokens of whole canvases
        whole = int((output.sequences[0, len(prompt) :] != lm.config.pad_id).sum())
        steps = round(whole / float(output.tokens_per_forward[0]))
        return Run(tokens=tokens, steps=steps, seconds=seconds)

    return answer


def measure(engines: dict[str, Engine], prompts: Sequence[Sequence[int]], rounds: int) -> list[Row]:
    """Every engine answers every prompt in each round; the first prompt once more before that."""
    for engine in engines.values():
        engine(prompts[0], 0)
    runs: dict[str, list[list[Run]]] = {name: [] for name in engines}
    for turn in range(rounds):
        for name, engine in engines.items():
            runs[name].append([engine(prompt, turn) for prompt in prompts])
    return [summary(name, of_rounds) for name, of_rounds in runs.items()]


def summary(engine: str, rounds: list[list[Run]]) -> Row:
    def total(round: list[Run], name: str) -> float:
        return sum(getattr(run, name) for run in round)

    def median(of: Callable[[list[Run]], float]) -> float:
        return statistics.median(of(round) for round in rounds)

    return Row(
        engine=engine,
        tokens_per_second=median(lambda r: total(r, "tokens") / total(r, "seconds")),
        ms_per_step=median(lambda r: 1e3 * total(r, "seconds") / total(r, "steps")),
        steps=median(lambda r: total(r, "steps") / len(r)),
        tokens=median(lambda r: total(r, "tokens") / len(r)),
    )


def step_flops(config: ModelConfig, prefix: int) -> float:
    """Floating-point operations in the matrix products of one denoising step."""
    size, length = config.hidden_size, config.canvas_length
    weights, mixed = 2 * config.vocab_size * size + 3 * size * config.intermediate_size, 0
    for layer in config.layers:
        kinds = 2 if layer.sliding else 1
        width = layer.heads * layer.head_dim
        seen = prefix if layer.window is None else min(prefix, layer.window - 1)
        weights += size * (2 * width + kinds * layer.kv_heads * layer.head_dim)
        weights += 3 * size * config.intermediate_size
        if (experts := config.experts) is not None:
            weights += size * (experts.count + 3 * experts.top_k * experts.intermediate_size)
        mixed += 2 * width * (seen + length)
    return 2.0 * length * (weights + mixed)


def matmul_speed(device: torch.device, dtype: torch.dtype, *, size: int = 1024) -> float:
    """Floating-point operations per second of the best of some large matrix products."""
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        _ = float((a @ b)[0, 0])
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / min(seconds)


def prompts_of(lm: LM, task: str | None, *, count: int, tokens: int) -> list[list[int]]:
    """Held-out prompts of a task, or random ids where none is named."""
    if task is None:
        rng = random.Random(0)
        return [[rng.randrange(lm.config.vocab_size) for _ in range(tokens)] for _ in range(count)]
    cases, rng = tasks.get(task), random.Random(0)
    bins = [cases.bins[i % len(cases.bins)] for i in range(count)]
    texts = [cases.sample(rng, split="test", bin=bin).prompt for bin in bins]
    return [lm.tokenizer.render([{"role": "user", "content": text}]) for text in texts]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=POCKET, help="default: embedded")
    parser.add_argument("--random", action="store_true", help="random weights and random ids")
    parser.add_argument("--task", default="scenes", help="prompts of this task")
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=150)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--max-steps", type=int, help="default: the checkpoint's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", default=["diffusion", "ar", "transformers"])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder
        if options.random:
            folder = new_checkpoint("pocket", Path(scratch) / "pocket")
        lm = canvaslm.load(folder)
        params = Params(max_tokens=options.max_tokens, max_steps=options.max_steps)
        makers: dict[str, Callable[[], Engine]] = {
            "diffusion": lambda: ours(lm, params, mode="diffusion"),
            "ar": lambda: ours(lm, Params(max_tokens=options.max_tokens), mode="ar"),
            "transformers": lambda: transformers(folder, lm, params),
        }
        engines = {name: makers[name]() for name in options.only}
        task = None if options.random else options.task
        prompts = prompts_of(lm, task, count=options.prompts, tokens=options.prompt_tokens)
        rows = measure(engines, prompts, options.rounds)
    length = round(statistics.mean(len(prompt) for prompt in prompts))
    speed = matmul_speed(lm.placement.device, lm.placement.dtype)
    floor = 1e3 * step_flops(lm.config, length) / speed
    report = {
        "machine": describe_device(lm.placement.device),
        "dtype": str(lm.placement.dtype).removeprefix("torch."),
        "prompt_tokens": length,
        "floor_ms_per_step": floor,
        "engines": [asdict(row) for row in rows],
        "times_as_fast": {
            row.engine: rows[0].tokens_per_second / row.tokens_per_second for row in rows[1:]
        },
    }
    sys.stdout.write((json.dumps(report, indent=2) if options.json else table(report)) + "\n")


def table(report: dict[str, Any]) -> str:
    lines = [
        f"{report['machine']}, {report['dtype']}, prompts of {report['prompt_tokens']} tokens",
        f"{'':14}{'tokens/s':>10}{'ms/step':>10}{'steps':>8}{'tokens':>8}",
    ]
    for row in report["engines"]:
        lines.append(
            f"{row['engine']:14}{row['tokens_per_second']:10.0f}{row['ms_per_step']:10.2f}"
            f"{row['steps']:8.1f}{row['tokens']:8.1f}"
        )
    lines.append(
        f"a step's matrix products alone would take {report['floor_ms_per_step']:.2f} ms at the "
        "speed of a large product"
    )
    for name, times in report["times_as_fast"].items():
        lines.append(f"{report['engines'][0]['engine']} is {times:.1f} times as fast as {name}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
