"""Compile the native kernels: `python -m canvaslm.kernels.build`; the package's own build does it.

One library for each instruction set this compiler can write for, beside this file. It needs nothing
but Python and a C++20 compiler, so the build hook can run it before anything is installed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent / "cpu"
SOURCE = HERE / "source"
COMMON = ["-std=c++20", "-O3", "-fPIC", "-pthread", "-Wall", "-Wextra", "-fvisibility=hidden"]
WIDE = ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
SETS = {
    "plain": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": [*WIDE, "-mavx512vnni", "-mavx512bf16"],
    "amx": [*WIDE, "-mavx512vnni", "-mavx512bf16", "-mamx-tile", "-mamx-int8", "-mamx-bf16"],
}
UNSPECIAL = ("probe.cpp", "pool.cpp")  # the same in every library


def library(name: str) -> Path:
    return HERE / f"kernels_{name}.so"


def sets() -> dict[str, list[str]]:
    """Flags of the instruction sets of this kind of machine."""
    if platform.machine() in ("x86_64", "AMD64"):
        return SETS
    return {"plain": []}


def compiler() -> str | None:
    """The C++ compiler: $CXX, or the first of the usual names that is there."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    return None


def commands(cxx: str, folder: Path, flags: list[str]) -> Iterator[tuple[str, list[str]]]:
    """For each set the object files to make, and how."""
    for name, special in sets().items():
        for file in sorted(SOURCE.glob("*.cpp")):
            own = [] if file.name in UNSPECIAL else special
            out = folder / f"{name}_{file.stem}.o"
            yield name, [cxx, *COMMON, *own, *flags, "-c", str(file), "-o", str(out)]


def build(*, flags: list[str] | None = None, only: str | None = None) -> list[Path]:
    """Compile and link; returns the libraries. Raises RuntimeError with the compiler's words."""
    cxx, flags = compiler(), flags or []
    if cxx is None:
        raise RuntimeError("no C++ compiler was found: install g++ or set CXX")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = [one for one in commands(cxx, folder, flags) if only in (None, one[0])]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(run, [command for _, command in made]))
        names = list(dict.fromkeys(name for name, _ in made))
        for name in names:
            objects = [command[-1] for owner, command in made if owner == name]
            part = folder / library(name).name
            run([cxx, "-shared", "-pthread", *flags, *objects, "-o", str(part)])
            replace(part, library(name))
    return [library(name) for name in names]


def replace(source: Path, target: Path) -> None:
    """Put a file in its place in one go: a process that has the old one mapped keeps it."""
    beside = target.with_suffix(f".{os.getpid()}")
    shutil.copy2(source, beside)
    beside.replace(target)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")


def main() -> None:
    only = sys.argv[1] if len(sys.argv) > 1 else None
    for path in build(only=only):
        sys.stdout.write(f"{path.relative_to(HERE.parent)} {path.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
