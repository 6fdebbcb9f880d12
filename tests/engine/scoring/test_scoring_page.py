"""The example of docs/scoring.md runs."""

import re
from pathlib import Path

import pytest


def test_the_example_runs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "scoring.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/scoring.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
