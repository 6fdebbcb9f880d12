"""The machine's own peaks."""

import pytest
import torch
from tests.kernels.conftest import instruction_sets, library_of

from canvaslm.kernels.cpu.library import InstructionSet, runnable
from canvaslm.kernels.cpu.peaks import measure_peaks, product_speed, read_speed
from canvaslm.kernels.rows import Kind


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", instruction_sets())
def test_every_set_multiplies(name: InstructionSet, kind: Kind) -> None:
    assert product_speed(library_of(name), kind, rounds=1, tries=1) > 1e4


@pytest.mark.parametrize("name", instruction_sets())
def test_every_set_reads(name: InstructionSet) -> None:
    assert read_speed(library_of(name), size=(1 << 20) + 4096 + 8, tries=1) > 1e6


@pytest.mark.skipif(not runnable(), reason="no kernels were compiled")
def test_the_best_set_is_measured_by_itself() -> None:
    peaks = measure_peaks(read_bytes=1 << 22, tries=1, rounds=2)
    assert peaks.instructions == runnable()[-1]
    assert peaks.threads == torch.get_num_threads()
    assert peaks.operations("int8") == peaks.int8 > 1e6
