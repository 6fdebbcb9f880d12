"""The example of docs/constraints.md runs."""

import re
from pathlib import Path

import pytest


def test_the_example_runs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "constraints.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/constraints.md", "exec"), {})
    assert re.fullmatch(r"\d{1,3}(\+\d{1,3})+\n", capsys.readouterr().out)
