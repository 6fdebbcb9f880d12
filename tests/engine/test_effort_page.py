"""The example of docs/effort.md runs, and every effort stands on the page."""

import re
from pathlib import Path

import pytest

from canvaslm.engine.params import EFFORTS


def test_the_example_runs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "effort.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/effort.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(EFFORTS)


def test_no_effort_is_left_out(repository: Path) -> None:
    page = (repository / "docs" / "effort.md").read_text(encoding="utf-8")
    assert all(f"| `{effort}` |" in page for effort in EFFORTS)
