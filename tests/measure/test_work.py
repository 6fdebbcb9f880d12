"""Work counted from sizes, and the floors that follow."""

from pathlib import Path

import pytest

from canvaslm.kernels.cpu.peaks import Peaks
from canvaslm.measure.memory import peak_memory
from canvaslm.measure.report import STEPS_PER_CANVAS, Spread, implied_speed, parts
from canvaslm.measure.work import (
    ATTENTION,
    EXPERTS,
    HEAD,
    REST,
    SOFT,
    Formats,
    Shape,
    Work,
    count,
    touched_experts,
)
from canvaslm.model.presets import preset

FORMATS = Formats(experts="int4", dense="int8", embedding="bfloat16", cache="bfloat16")
PEAKS = Peaks(
    instructions="amx", threads=2, read_bytes=34.4e9, float32=1e11, bfloat16=5.8e12, int8=11.6e12
)
STEP = Shape(rows=1, tokens=256, prefix=1024, read=256, soft=True)


def test_a_step_of_the_release_is_what_was_counted_by_hand() -> None:
    """2.53 TFLOP with the soft embedding, 15.3 GB of weights."""
    work = count(preset("26b-a4b"), FORMATS, STEP)
    assert sum(one.operations for one in work.values()) == pytest.approx(2.53e12, rel=0.02)
    assert work[EXPERTS].operations == pytest.approx(0.731e12, rel=0.01)
    assert work[EXPERTS].bytes == pytest.approx(12.13e9, rel=0.01)
    assert work[HEAD].operations == work[SOFT].operations == pytest.approx(0.378e12, rel=0.01)
    assert work[EXPERTS].bound_by(PEAKS) == "memory"
    assert work[HEAD].bound_by(PEAKS) == "arithmetic"
    assert work[EXPERTS].floor(PEAKS) == work[EXPERTS].bytes / PEAKS.read_bytes


def test_a_longer_prefix_costs_full_layers_only() -> None:
    config = preset("26b-a4b")
    near, far = (
        count(config, FORMATS, Shape(rows=1, tokens=256, prefix=prefix)) for prefix in (2048, 4096)
    )
    grown = far[ATTENTION].operations - near[ATTENTION].operations
    assert grown == 4.0 * 5 * 16 * 512 * 256 * 2048
    assert near[EXPERTS] == far[EXPERTS]


def test_few_tokens_touch_few_experts() -> None:
    config = preset("26b-a4b")
    assert touched_experts(config, 1) == pytest.approx(8)
    assert touched_experts(config, 256) == pytest.approx(128, rel=1e-3)


def test_parts_add_up_to_the_whole() -> None:
    work = {EXPERTS: Work(by_kind={"int8": 11.6e12}, bytes=1.0)}
    found = parts({EXPERTS: 2.0, HEAD: 1.0}, work, whole=4.0, peaks=PEAKS)
    assert list(found) == [EXPERTS, HEAD, REST]
    assert [part.share for part in found.values()] == [0.5, 0.25, 0.25]
    assert found[EXPERTS].of_ceiling == 0.5
    assert found[HEAD].of_ceiling is None


def test_speeds_follow_from_seconds() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(median=2.0, least=1.0, most=3.0, count=3)
    speed = implied_speed(1.0, 0.4, canvas=256, rows=1)
    assert speed == pytest.approx(256 / (STEPS_PER_CANVAS + 0.4))


def test_memory_is_what_the_system_says() -> None:
    status = Path("/proc/self/status").read_text()
    assert str(peak_memory() // 1024) in status or "VmHWM" not in status
