"""The plot of scores."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.eval.trials.small import record

from canvaslm.engine.decide.fitting import Quality
from canvaslm.errors import ParameterError, StorageError
from canvaslm.eval.asking import Asking
from canvaslm.eval.pages.plot import plot, plot_reliability
from canvaslm.eval.reliability import Level, Reliability
from canvaslm.eval.report import Report, summarise


@pytest.fixture
def reports() -> list[Report]:
    records = [record(i, correct=i % 2 == 0) for i in range(4)]
    return [summarise(records, task="sums", asking=Asking())]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_plot_is_drawn_as_its_name_says(reports: list[Report], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(reports, tmp_path / "scores.svg")
    assert "<svg" in (tmp_path / "scores.svg").read_text()
    plot(reports, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ParameterError, match=r"\.png, \.svg, \.pdf"):
        plot(reports, tmp_path / "scores.txt")
    with pytest.raises(StorageError):
        plot(reports, tmp_path / "no" / "scores.png")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_reliability_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    level = Level(n=3, probability=0.9, right=1.0, interval=(0.4, 1.0))
    judged = Quality(n=3, accuracy=1.0, nll=0.1, ece=0.1)
    found = Reliability(method="denoise", quality=judged, levels=[level])
    plot_reliability(found, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert "canvaslm[bench]" in done.stdout, done.stderr


WITHOUT = """
import importlib.util
from pathlib import Path
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "matplotlib" else real(name, *rest)
from canvaslm.engine.decide.fitting import Quality
from canvaslm.errors import ParameterError
from canvaslm.eval.pages.plot import check
try:
    check(Path("x.png"))
except ParameterError as error:
    print(error)
"""
