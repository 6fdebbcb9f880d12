"""The tile instructions against their definition in numpy: emulated, or on the hardware."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.kernels.conftest import compiled, emulator

from canvaslm.kernels import build
from canvaslm.kernels.cpu.library import runnable

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

pytestmark = pytest.mark.skipif(
    runnable()[-1:] not in (["avx512"], ["amx"]) or build.compiler() is None,
    reason="needs AVX-512 and a compiler",
)

INTEGERS = {
    "dpbssd": (np.int8, np.int8),
    "dpbsud": (np.int8, np.uint8),
    "dpbusd": (np.uint8, np.int8),
    "dpbuud": (np.uint8, np.uint8),
}
SHAPES = [(16, 16, 16), (1, 1, 1), (16, 3, 16), (5, 16, 7), (11, 9, 16)]  # rows, depth, columns


@pytest.fixture
def programs() -> ctypes.CDLL:
    if runnable()[-1] != "amx":
        emulator()
    return compiled("programs.cpp", "-mamx-tile", "-mamx-int8", "-mamx-bf16")


def config(tiles: dict[int, tuple[int, int]]) -> ctypes.Array[ctypes.c_char]:
    """Of tile: rows and bytes of a row."""
    raw = bytearray(64)
    raw[0] = 1
    for tile, (rows, width) in tiles.items():
        raw[16 + 2 * tile], raw[48 + tile] = width, rows
    return ctypes.create_string_buffer(bytes(raw), 64)


def at(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def noise(seed: int, rows: int = 16) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (rows, 64), dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", INTEGERS)
def test_products_of_bytes(programs: ctypes.CDLL, name: str, shape: tuple[int, int, int]) -> None:
    rows, depth, columns = shape
    c, a, b = noise(1), noise(2), noise(3)
    before = c.copy()
    shapes = config({5: (rows, 4 * columns), 1: (rows, 4 * depth), 6: (depth, 4 * columns)})
    getattr(programs, f"run_{name}")(shapes, at(c), at(a), at(b))

    left, right = (
        x.view(kind).astype(np.int64) for x, kind in zip((a, b), INTEGERS[name], strict=True)
    )
    left_MK = left[:rows, : 4 * depth]
    right_KN = right[:depth].reshape(depth, 16, 4).transpose(0, 2, 1).reshape(4 * depth, 16)
    wanted = before.view(np.int32).astype(np.int64)
    wanted[:rows, :columns] += left_MK @ right_KN[:, :columns]
    assert (c.view(np.int32) == wanted.astype(np.int32)).all()


def flushed(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 of float64, rounded once; what is below the normal numbers is zero."""
    rounded = x.astype(np.float32)
    return np.where(np.abs(rounded) < np.finfo(np.float32).tiny, 0 * rounded, rounded)


@pytest.mark.parametrize("exponent", [0, -60], ids=["normal", "denormal"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_bfloat16(
    programs: ctypes.CDLL, shape: tuple[int, int, int], exponent: int
) -> None:
    rows, depth, columns = shape
    random = np.random.default_rng(5)
    a, b, c = (
        (random.standard_normal((16, n)) * 2.0**e).astype(np.float32)
        for n, e in ((32, exponent), (32, exponent - 4), (16, 2 * exponent))
    )
    a, b = ((x.view(np.uint32) & 0xFFFF0000).view(np.float32) for x in (a, b))
    packed_a, packed_b = ((x.view(np.uint32) >> 16).astype(np.uint16) for x in (a, b))
    before = c.copy()
    shapes = config({5: (rows, 4 * columns), 1: (rows, 4 * depth), 6: (depth, 4 * columns)})
    programs.run_dpbf16ps(shapes, at(c), at(packed_a), at(packed_b))

    # a product of bfloat16 and its sum with a float32 of like size are exact in float64
    sums = np.zeros((rows, columns, 2), np.float32)
    for k in range(depth):
        pair_a = a[:rows, None, 2 * k : 2 * k + 2].astype(np.float64)
        pair_b = b[k].reshape(16, 2)[None, :columns].astype(np.float64)
        sums = flushed(pair_a * pair_b + sums)
    total = flushed(sums[..., 0].astype(np.float64) + sums[..., 1])
    wanted = before.copy()
    wanted[:rows, :columns] = flushed(flushed(before[:rows, :columns]) + total.astype(np.float64))
    assert (c == wanted).all()


def test_a_load_reads_rows_at_any_distance(programs: ctypes.CDLL) -> None:
    data, out = noise(7, rows=64), noise(8)
    wanted = out.copy()
    wanted[:7, :12] = data[::3][:7, :12]
    programs.run_copy(config({3: (7, 12)}), at(data), ctypes.c_int64(3 * 64), at(out), 64)
    assert (out == wanted).all()


def test_zero_clears(programs: ctypes.CDLL) -> None:
    data, out = noise(7), noise(8)
    programs.run_zero(config({2: (16, 64)}), at(data), at(out))
    assert (out == 0).all()


def test_a_configuration_reads_back(programs: ctypes.CDLL) -> None:
    shapes = config({0: (16, 64), 7: (3, 8)})
    back, after = noise(1, rows=1), noise(2, rows=1)
    programs.run_config(shapes, at(back), at(after))
    assert back.tobytes() == shapes.raw
    assert (after == 0).all()


def test_all_shapes_of_an_address(programs: ctypes.CDLL) -> None:
    data, out = noise(7, rows=64), noise(8, rows=64)
    shapes = config(dict.fromkeys(range(8), (16, 64)))
    programs.run_addresses(shapes, at(data), ctypes.c_int64(16), at(out))
    for block in range(3):
        assert (out[16 * block :][:16] == data[:16]).all()
    assert (out[48:] == data[0]).all()


MISUSE = """
import ctypes, faulthandler
if {handler}: faulthandler.enable()
ctypes.CDLL({emulator!r}).amx_emulator_install()
ctypes.CDLL({programs!r}).run_misuse({config}, {kind}, ctypes.create_string_buffer(4096))
"""
FULL = {0: (16, 64), 1: (16, 64), 2: (16, 64)}
MISUSES = {
    "tiles are not configured": (0, FULL),
    "two operands are one tile": (1, FULL),
    "rows of C and A differ": (2, FULL | {1: (8, 64)}),
    "columns of C and B differ": (2, FULL | {2: (16, 32)}),
    "the depths of A and B differ": (2, FULL | {1: (16, 32)}),
    "no such tile": (3, FULL),
    "tilezero: tiles are not configured": (4, FULL),
    "more than 16 rows or 64 bytes": (3, FULL | {1: (17, 64)}),
    "a tile with rows and no bytes": (3, FULL | {1: (1, 0)}),
}


@pytest.fixture
def misuse(programs: ctypes.CDLL) -> Callable[..., tuple[int, str]]:
    """Misuse in a process of its own: how it ended, and what it said."""

    def run(kind: int, tiles: dict[int, tuple[int, int]], *, handler: bool) -> tuple[int, str]:
        code = MISUSE.format(
            kind=kind,
            config=config(tiles).raw,
            handler=handler,
            emulator=emulator()._name,
            programs=programs._name,
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    return run


@pytest.mark.skipif(runnable()[-1:] == ["amx"], reason="the hardware gives no reasons")
@pytest.mark.parametrize("said", MISUSES)
def test_misuse_ends_the_process_and_says_why(
    misuse: Callable[..., tuple[int, str]], said: str
) -> None:
    code, error = misuse(*MISUSES[said], handler=False)
    assert code == -4
    assert said in error


def test_other_signals_go_to_whom_they_belong(misuse: Callable[..., tuple[int, str]]) -> None:
    code, error = misuse(5, FULL, handler=True)
    assert code == -4
    assert "Fatal Python error: Illegal instruction" in error
    assert "AMX emulator" not in error
