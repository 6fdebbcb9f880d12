"""What is said about the machine."""

import torch

from canvaslm.eval import machine


def test_what_is_said_is_plausible() -> None:
    assert 1 <= machine.core_count() <= 4096
    assert set(machine.cpu_features()) <= set(machine.INSTRUCTIONS)
    assert machine.cpu_name()


def test_a_processor_is_described_with_the_threads_in_use() -> None:
    described = machine.describe_device(torch.device("cpu"))
    assert described == f"{machine.cpu_name()}, {torch.get_num_threads()} threads"
