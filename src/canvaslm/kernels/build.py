"""Compile the native kernels: `python -m canvaslm.kernels.build`; the package's own build does it.

One library for each instruction set this compiler can write for, in kernels/cpu or the folder that
CANVASLM_LIBRARIES names. It needs nothing but Python and a C++20 compiler, so the build hook can
run it before anything is installed. A library holds a digest of what it was made from: `stale`
tells whether that has changed.

  python -m canvaslm.kernels.build [--stale] [set ...] [-- compiler flags]
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
    return Path(os.environ.get("CANVASLM_LIBRARIES") or HERE) / f"kernels_{name}.so"


def digest() -> str:
    """Of the sources beside this file, and of how they are compiled."""
    made = hashlib.sha256(repr((COMMON, SETS)).encode())
    for file in sorted(SOURCE.iterdir()):
        made.update(file.name.encode() + b"\0" + file.read_bytes())
    return made.hexdigest()[:16]


def stale(name: str) -> bool:
    """Whether a library is missing, or was made from other sources than those beside this file."""
    if not library(name).is_file():
        return True
    found = re.search(rb"canvaslm-digest:(\w+)", library(name).read_bytes())
    return found is None or found[1].decode() != digest()


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


def supported(cxx: str, flags: list[str]) -> bool:
    """Whether the compiler knows them: those of AMX came late."""
    command = [cxx, "-std=c++20", *flags, "-fsyntax-only", "-x", "c++", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def commands(cxx: str, name: str, folder: Path, flags: list[str]) -> Iterator[list[str]]:
    """How the object files of one set are made."""
    for file in sorted(SOURCE.glob("*.cpp")):
        own = [] if file.name in UNSPECIAL else sets()[name]
        mark = [f'-DCANVASLM_DIGEST="{digest()}"'] if file.name == "probe.cpp" else []
        out = folder / f"{name}_{file.stem}.o"
        yield [cxx, *COMMON, *own, *mark, *flags, "-c", str(file), "-o", str(out)]


def build(
    *, flags: Sequence[str] = (), only: Sequence[str] = (), stale_only: bool = False
) -> list[Path]:
    """Compile and link; returns all libraries asked for, new or not.

    Sets that the compiler knows nothing of are left out. Raises RuntimeError with the compiler's
    words.
    """
    wanted = [name for name in sets() if not only or name in only]
    due = [name for name in wanted if not stale_only or stale(name)]
    if due:
        compile_sets(due, list(flags))
    return [library(name) for name in wanted if library(name).is_file()]


def compile_sets(names: list[str], flags: list[str]) -> None:
    cxx = compiler()
    if cxx is None:
        raise RuntimeError("no C++ compiler was found: install g++, or name one in CXX")
    names = [name for name in names if supported(cxx, sets()[name])]
    if not names:
        raise RuntimeError(f"{cxx} does not compile C++20: install g++ 10 or newer")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = {name: list(commands(cxx, name, folder, flags)) for name in names}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(run, [command for each in made.values() for command in each]))
        for name, each in made.items():
            part = folder / library(name).name
            objects = [command[-1] for command in each]
            run([cxx, "-shared", "-pthread", *flags, *objects, "-o", str(part)])
            replace(part, library(name))


def replace(source: Path, target: Path) -> None:
    """Put a file in its place in one go: a process that has the old one mapped keeps it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(f".{os.getpid()}")
    shutil.copy2(source, beside)
    beside.replace(target)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")


def main() -> None:
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    names, flags = [word for word in words[:end] if word != "--stale"], words[end + 1 :]
    unknown = [name for name in names if name not in sets()]
    if unknown:
        raise SystemExit(
            f"no such instruction set here: {unknown[0]}; there are {', '.join(sets())}"
        )
    try:
        paths = build(only=names, flags=flags, stale_only="--stale" in words[:end])
    except RuntimeError as error:
        raise SystemExit(str(error)) from None
    for path in paths:
        sys.stdout.write(f"{path} {path.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
