"""Which kernels are there, which run, and what is said of those that do not."""

import ctypes
import re
from pathlib import Path

import pytest
from tests.kernels.conftest import emulator, instruction_sets, is_emulated, library_of

from canvaslm.errors import ParameterError
from canvaslm.kernels import build
from canvaslm.kernels.cpu import library
from canvaslm.kernels.cpu.library import SETS, built, open_library, path_of, runnable
from canvaslm.kernels.cpu.operations import FAMILIES
from canvaslm.kernels.cpu.peaks import product_speed

FUNCTION = re.compile(r"CANVASLM_API (\w+) (canvaslm_\w+)\((.*?)\) \{", re.DOTALL)
TYPES = {
    "void": None,
    "bool": ctypes.c_bool,
    "int": ctypes.c_int,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "float": ctypes.c_float,
}
needs_libraries = pytest.mark.skipif(not runnable(), reason="no kernels were compiled")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of libraries."""
    monkeypatch.setenv("CANVASLM_LIBRARIES", str(tmp_path))
    return tmp_path


def test_what_runs_was_compiled_and_is_in_order() -> None:
    assert runnable() == [name for name in SETS if name in runnable()]
    assert set(runnable()) <= set(built())


def test_without_libraries_nothing_runs(elsewhere: Path) -> None:
    assert built() == runnable() == []
    with pytest.raises(ParameterError, match=r"run `python -m canvaslm\.kernels\.build`"):
        open_library.__wrapped__("plain")


def test_a_damaged_library_is_refused_with_what_to_do(elsewhere: Path) -> None:
    path_of("plain").write_bytes(b"\x7fELF")
    assert runnable() == []
    with pytest.raises(ParameterError, match=r"cannot be loaded .* run `python -m"):
        open_library.__wrapped__("plain")


@needs_libraries
@pytest.mark.parametrize("name", built())
def test_a_set_that_the_machine_lacks_is_refused(name: library.InstructionSet) -> None:
    if name in runnable():
        assert open_library(name).canvaslm_best() >= SETS.index(name)
    else:
        with pytest.raises(ParameterError, match=f"this machine has no {name}"):
            open_library(name)


@needs_libraries
@pytest.mark.parametrize("name", instruction_sets())
def test_every_set_to_test_opens(name: library.InstructionSet) -> None:
    assert library_of(name).canvaslm_linear


@needs_libraries
def test_python_calls_functions_as_they_are_written() -> None:
    native = library_of("plain")
    for family in FAMILIES:
        family(native)
    text = "".join(file.read_text() for file in sorted(build.SOURCE.glob("*.cpp")))
    written = FUNCTION.findall(text)
    assert {"canvaslm_linear", "canvaslm_route"} <= {name for _, name, _ in written}
    for result, name, words in written:
        function = getattr(native, name)
        if function.argtypes is None:  # not bound yet
            continue
        assert function.restype == TYPES[result], name
        arguments = words.split(",")
        assert len(function.argtypes) == len(arguments), name
        for argument, given in zip(arguments, function.argtypes, strict=True):
            if "*" in argument:
                assert given is ctypes.c_void_p or hasattr(given, "contents"), (name, argument)
            else:
                assert given is TYPES[argument.split()[0]], (name, argument)


@pytest.mark.skipif(not is_emulated("amx"), reason="no AMX to emulate here")
def test_the_library_of_amx_works_with_tiles() -> None:
    native = library_of("amx")
    before = emulator().amx_emulator_executed()
    product_speed(native, "int8", rounds=1, tries=1)
    assert emulator().amx_emulator_executed() > before
