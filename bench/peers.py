"""Other engines on the same sizes: transformers on a reduced network, ggml and OpenVINO.

    python bench/peers.py [--only transformers ggml openvino] [--layers 2 4] [--venv FOLDER]

`transformers` runs DiffusionGemma at full width cut to a few layers, bfloat16, on the weights that
canvaslm then runs, too; what a layer costs is the difference between the two depths. ggml (out of
llama-cpp-python) and OpenVINO multiply single matrices, in a Python of their own that is made in
--venv when it is not there; what cannot be installed is left out, and the reason is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import torch

import canvaslm
from canvaslm.engine.create import new_checkpoint
from canvaslm.engine.lm import LM
from canvaslm.measure.passes import Setting, time_passes
from canvaslm.measure.report import Spread
from canvaslm.model.config import ModelConfig
from canvaslm.model.presets import preset, reduced

HERE = Path(__file__).resolve().parent
PACKAGES = {"ggml": ("llama-cpp-python", "numpy"), "openvino": ("openvino", "numpy")}
DEPTH = 30
"""Layers of the release."""


def main() -> None:
    """Measure what the command line asks for and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", default=["transformers", *PACKAGES])
    parser.add_argument("--layers", type=int, nargs=2, default=[2, 4])
    parser.add_argument("--prefix", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--scale", type=float, help="narrower networks, for a quick look")
    parser.add_argument("--venv", type=Path, default=Path.home() / ".cache" / "canvaslm-peers")
    parser.add_argument("--scratch", type=Path, help="where checkpoints are made")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found: dict[str, Any] = {}
    for name in given.only:
        try:
            if name == "transformers":
                found[name] = depths(given)
            else:
                found[name] = other(name, given.venv, given)
        except Exception as failure:  # the others are still worth having
            found[name] = {"left_out": f"{type(failure).__name__}: {failure}"[:500]}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def depths(given: argparse.Namespace) -> dict[str, Any]:
    """Steps of two depths by each engine, and what that makes for all layers of the release."""
    config = preset("26b-a4b")
    found: dict[str, Any] = {"layers": given.layers, "prefix": given.prefix, "seconds_per_step": {}}
    for layers in given.layers:
        small = reduced(config, layers=layers, scale=given.scale)
        with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
            for name, seconds in engines(small, Path(scratch), given).items():
                found["seconds_per_step"].setdefault(name, []).append(seconds)
    (few, many), found["seconds_per_step_of_the_release"] = given.layers, {}
    for name, (low, high) in found["seconds_per_step"].items():
        whole = low + (high - low) / (many - few) * (DEPTH - few)
        found["seconds_per_step_of_the_release"][name] = whole
    return found


def engines(config: ModelConfig, scratch: Path, given: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a step by who takes it."""
    folder = new_checkpoint(config, scratch / "bfloat16", seed=0)
    setting = Setting(prefix=given.prefix, canvas=config.canvas_length, repeat=given.repeat)
    found = {"transformers bfloat16": transformers_step(folder, setting)}
    found["canvaslm bfloat16"] = our_step(canvaslm.load(folder, dtype="bfloat16"), setting)
    if given.scale is None:
        rounded = new_checkpoint(config, scratch / "int4", seed=0, quant="int4")
        found["canvaslm int4"] = our_step(canvaslm.load(rounded), setting)
    return found


def our_step(lm: LM, setting: Setting) -> float:
    seconds = list(time_passes(lm, "step", setting))
    return Spread.of(seconds[setting.warmup :]).median


def transformers_step(folder: Path, setting: Setting) -> float:
    """The difference between answers of few and of more steps, over the steps between."""
    from transformers import DiffusionGemmaForBlockDiffusion
    from transformers.utils import logging

    logging.disable_progress_bar()
    model: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(folder, dtype=torch.bfloat16)
    model.eval()
    generator = torch.Generator().manual_seed(0)
    high = model.config.text_config.vocab_size
    ids = torch.randint(high, (1, setting.prefix), generator=generator)

    def answer(steps: int) -> float:
        begun = time.perf_counter()
        model.generate(
            ids,
            max_new_tokens=setting.canvas,
            max_denoising_steps=steps,
            confidence_threshold=1e-9,  # so that no canvas settles early
            eos_token_id=None,
        )
        return time.perf_counter() - begun

    few, many = 1, 1 + setting.repeat
    answer(few)
    return (answer(many) - answer(few)) / (many - few)


def other(name: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """What bench/peers_NAME.py prints, run by a Python that has its packages."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    missing = run([str(python), "-m", "pip", "show", "-q", *PACKAGES[name]], check=False)
    if missing.returncode:
        run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name]])
    script = HERE / f"peers_{name}.py"
    options = ["--threads", str(given.threads), "--repeat", str(given.repeat)]
    done = run([str(python), str(script), *options])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {done.returncode}: {tail(done)}")
    return done


def tail(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


if __name__ == "__main__":
    main()
