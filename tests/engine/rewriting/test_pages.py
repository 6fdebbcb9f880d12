"""The examples of docs/infill.md and docs/edit.md run."""

import re
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["infill", "edit"])
def test_the_example_runs(repository: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / f"{name}.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, f"docs/{name}.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= 3
