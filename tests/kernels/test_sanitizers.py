"""What `make sanitize` relies on: a wrong access is found, in tile instructions, too."""

import subprocess
import sys

import pytest
from tests.kernels.amx.test_emulator import config
from tests.kernels.conftest import compiled, emulator, is_emulated
from tools.sanitize import FLAGS, environment, preloaded

from canvaslm.kernels import build

CXX = build.compiler() or ""
TILES = """
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
ctypes.CDLL({emulator!r}).amx_emulator_install()
begin, out = library.malloc(64 * {rows}), ctypes.create_string_buffer(1024)
copy = ctypes.CDLL({programs!r}).run_copy
copy({config}, ctypes.c_void_p(begin), ctypes.c_int64(64), out, ctypes.c_int64(64))
"""

pytestmark = pytest.mark.skipif(
    not CXX or len(preloaded(CXX)) < 2 or not build.supported(CXX, FLAGS) or not is_emulated("amx"),
    reason="needs a compiler with sanitizers, and AMX to emulate",
)


@pytest.mark.parametrize("rows", [16, 15])
def test_a_tile_beyond_its_memory_is_found(rows: int) -> None:
    programs = compiled("programs.cpp", "-mamx-tile", "-mamx-int8", "-mamx-bf16")
    code = TILES.format(
        rows=rows,
        config=config({3: (16, 64)}).raw,
        emulator=emulator()._name,
        programs=programs._name,
    )
    command = [sys.executable, "-c", code]
    around = environment(CXX, "")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=around)
    if rows == 16:
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode != 0
        assert "heap-buffer-overflow" in done.stderr
