"""The example of docs/decisions.md runs."""

from pathlib import Path

import pytest


def test_the_page_does_as_it_says(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "decisions.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    exec(compile(example, "docs/decisions.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 3
