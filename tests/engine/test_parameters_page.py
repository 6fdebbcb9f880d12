"""The example of docs/parameters.md runs, and every parameter stands on the page."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from canvaslm import Params

ELSEWHERE = {"thinking", "tools", "tool_choice", "constraint"}
SCHEDULE = {"max_steps", "entropy_bound", "t_min", "t_max", "stability", "confidence"}


def test_the_example_runs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "parameters.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/parameters.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_no_parameter_is_left_out(repository: Path) -> None:
    page = (repository / "docs" / "parameters.md").read_text(encoding="utf-8")
    for field in fields(Params):
        assert f"`{field.name}" in page or field.name in ELSEWHERE | SCHEDULE
