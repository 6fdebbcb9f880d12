"""All speeds of the project in one go: measured part by part, kept, and written into the docs.

    python bench/performance.py FOLDER --write docs [--cache runs/performance] [--again step ...]
        [--only step kernels ...] [--growth FOLDER] [--quick]

FOLDER is a full-size checkpoint: `canvaslm new --preset 26b-a4b --quant int4 FOLDER`. Each part
runs in a process of its own and leaves its JSON in --cache, so that a run goes on where another
stopped; --again measures parts anew. --write puts the tables between the marks of
DIR/performance.md, and performance.json and two plots into DIR/pictures. --quick takes small sizes,
to try it out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from performance_page import report, write_pages

HERE = Path(__file__).resolve().parent
FAR = 32_768


def commands(folder: str, given: argparse.Namespace) -> dict[str, list[str]]:
    """What to run for each part; every one prints a JSON document last."""
    quick = given.quick
    repeat = ["--repeat", "2" if quick else str(given.repeat)]
    fewer = ["--repeat", "1" if quick else str(min(given.repeat, 2))]  # of what takes minutes
    probes = ["--quick"] if quick else []
    prefix, far = ("100", "300") if quick else ("1024", str(FAR))

    def bench(what: str, *options: str) -> list[str]:
        module = ["-m", "canvaslm.cli.app", "bench", what, folder, "--json"]
        return [*module, *repeat, *probes, *options]

    def script(name: str, *options: str) -> list[str]:
        return [str(HERE / f"{name}.py"), *repeat, *options]

    narrow = ["--scale", "0.1", "--prefix", "64"] if quick else []
    peers = ["--venv", str(given.venv)] if given.venv else []
    return {
        "step": bench("step", "--prefix", prefix),
        "step far": bench("step", "--prefix", far),
        "prefill": bench("prefill", "--prefix", prefix, *fewer),
        "commit": bench("commit", "--prefix", prefix),
        "token": bench("token", "--prefix", prefix),
        "kernels": script("kernels", "--json", *probes, *(["--scale", "0.1"] if quick else [])),
        "embedded": script("embedded", *(["--tasks", "scenes"] if quick else [])),
        "transformers": script("peers", *fewer, "--only", "transformers", *narrow),
        "ggml": script("peers", "--only", "ggml", *peers),
        "openvino": script("peers", "--only", "openvino", *peers),
        "growth": script("growth", given.growth or folder, *fewer, *(["--small"] if quick else [])),
    }


def run(command: list[str], *, seconds: float) -> dict[str, Any]:
    """The document that a part prints, or why it is left out."""
    try:
        done = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            cwd=HERE.parent,
        )
    except subprocess.TimeoutExpired:
        return {"left_out": f"it took more than {seconds:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"left_out": lines[-1] if lines else f"it ended with {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def measure(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Every part, from the cache where it was measured before."""
    given.cache.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, command in commands(given.folder, given).items():
        kept = given.cache / f"{name.replace(' ', '-')}.json"
        wanted = given.only is None or name in given.only
        if wanted and (name in given.again or not usable(kept)):
            begun = time.time()
            sys.stderr.write(f"{name} ...")
            sys.stderr.flush()
            document = run(command, seconds=given.seconds)
            document["measured_in_seconds"] = round(time.time() - begun, 1)
            kept.write_text(json.dumps(document, indent=1) + "\n")
            outcome = document.get("left_out", "done")
            sys.stderr.write(f" {outcome}, {document['measured_in_seconds']:.0f} s\n")
        if kept.exists():
            found[name] = json.loads(kept.read_text())
    return found


def usable(kept: Path) -> bool:
    return kept.exists() and "left_out" not in json.loads(kept.read_text())


def main() -> None:
    """Measure what is missing, print the report, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", help="a full-size checkpoint")
    parser.add_argument("--cache", type=Path, default=Path("runs/performance"))
    parser.add_argument("--only", nargs="+", help="parts to measure")
    parser.add_argument("--again", nargs="+", default=[], help="parts to measure anew")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3600, help="a part's limit")
    parser.add_argument("--growth", help="a checkpoint of fewer layers for its part")
    parser.add_argument("--venv", type=Path, help="of ggml and OpenVINO; see bench/peers.py")
    parser.add_argument("--quick", action="store_true", help="small sizes: to try it out")
    parser.add_argument("--write", type=Path, help="the documentation folder to write into")
    given = parser.parse_args()
    found = measure(given)
    if given.write is not None:
        write_pages(found, given.write)
    sys.stdout.write(report(found) + "\n")


if __name__ == "__main__":
    main()
