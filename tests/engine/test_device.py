"""What "auto" comes to, and what is refused."""

import pytest
import torch

from canvaslm.engine import device
from canvaslm.engine.device import choose
from canvaslm.errors import ParameterError

BFLOAT16 = torch.bfloat16


def test_a_small_model_on_a_cpu_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    choice = choose("auto", "auto", stored=BFLOAT16, parameters=1000)
    assert (choice.device, choice.dtype) == (torch.device("cpu"), torch.float32)
    assert "CUDA" in choice.why_device
    assert "memory" in choice.why_dtype


def test_a_model_too_large_for_that_stays_as_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "physical_memory", lambda: 8 << 30)
    assert choose("cpu", "auto", stored=BFLOAT16, parameters=1 << 30).dtype == torch.float32
    assert choose("cpu", "auto", stored=BFLOAT16, parameters=(1 << 30) + 1).dtype == BFLOAT16


def test_a_cuda_device_is_preferred_and_keeps_the_stored_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    choice = choose("auto", "auto", stored=BFLOAT16, parameters=1000)
    assert (choice.device.type, choice.dtype) == ("cuda", BFLOAT16)


def test_what_is_asked_for_is_taken() -> None:
    choice = choose("cpu", "bfloat16", stored=torch.float32, parameters=1000)
    assert (choice.device.type, choice.dtype) == ("cpu", BFLOAT16)
    assert choice.why_device == choice.why_dtype == "asked for"


@pytest.mark.parametrize("name", ["tpu", "mps", "meta", "cpu0", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="device must be auto, cpu, cuda or cuda:N"):
        choose(name, "auto", stored=BFLOAT16, parameters=1)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ParameterError, match="torch sees 1 CUDA devices"):
        choose("cuda:1", "auto", stored=BFLOAT16, parameters=1)


@pytest.mark.parametrize("name", ["int8", "fp32", "torch.float32"])
def test_an_unknown_dtype_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="dtype must be auto or one of float32"):
        choose("cpu", name, stored=BFLOAT16, parameters=1)
