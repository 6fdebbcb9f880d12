"""The instruction sets that kernels are tested with: what runs here, and AMX emulated."""

from __future__ import annotations

import atexit
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from canvaslm.kernels import build
from canvaslm.kernels.cpu.library import InstructionSet, built, open_library, runnable

HERE = Path(__file__).resolve().parent / "amx"


def instruction_sets() -> list[InstructionSet]:
    """All sets to test: `@pytest.mark.parametrize("name", instruction_sets())`.

    Their libraries come from `library_of(name)`. Where "amx" is emulated, each tile instruction
    costs microseconds: keep shapes small.
    """
    names = runnable()
    if is_emulated("amx"):
        names.append("amx")
    return names


def is_emulated(name: InstructionSet) -> bool:
    """Whether a set runs here, though this machine lacks it."""
    there = name == "amx" and name in built() and build.compiler() is not None
    return there and runnable()[-1:] == ["avx512"]


def library_of(name: InstructionSet) -> ctypes.CDLL:
    """The library of a set, with the emulator under it where the machine lacks it."""
    if not is_emulated(name):
        return open_library(name)
    emulator()
    return open_library(name, checked=False)


def emulator() -> ctypes.CDLL:
    """The AMX emulator, at work in this process from now on."""
    library = _emulator()
    assert library.amx_emulator_install() == 0
    return library


@cache
def _emulator() -> ctypes.CDLL:
    library = compiled("emulator.cpp", "-march=native", "-ffp-contract=off")
    library.amx_emulator_executed.restype = ctypes.c_int64
    library.amx_emulator_configured.restype = ctypes.c_int64
    return library


@cache
def compiled(source: str, *flags: str) -> ctypes.CDLL:
    """A library of tests/kernels/amx, compiled for this process."""
    cxx = build.compiler()
    assert cxx is not None
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    target = f"{folder}/library.so"
    command = [cxx, *build.COMMON, "-O2", *flags, "-shared", str(HERE / source), "-o", target]
    subprocess.run(command, check=True)
    return ctypes.CDLL(target)


@pytest.fixture(autouse=True)
def _tiles_are_released() -> Iterator[None]:
    """No operation may leave tiles configured behind it."""
    yield
    if _emulator.cache_info().currsize:
        assert emulator().amx_emulator_configured() == 0
