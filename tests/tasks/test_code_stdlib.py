"""Functions are cut out of a library whole, once, and the same for every version of Python."""

import ast
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from canvaslm.errors import TaskError
from canvaslm.tasks.code_stdlib import canonical, functions
from canvaslm.tasks.task import Split

Make = Callable[..., list[str]]

LONG = '''\
class Shop:
    @property
    def price(self):
        """What it costs."""

        # a comment
        if self.free:
            return 0
        return self.amount * 1.2

    def outer(self):
        def inner(a):
            b = a
            return b
        return inner

    def one_line(self): return [
        1,
    ]

    def short(self):
        return 1
'''


@pytest.fixture
def library(tmp_path: Path) -> Make:
    """Writes a library of one module and gives the functions found in it."""

    def make(source: str, name: str = "shop.py") -> list[str]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
        found: list[str] = []
        for split in get_args(Split):
            with contextlib.suppress(TaskError):  # every function may lie on the other side
                found += [source for source, _ in functions(split, tmp_path)]
        return found

    return make


def test_functions_are_cut_out_whole_and_only_the_outermost(library: Make) -> None:
    assert sorted(library(LONG)) == [
        "@property\ndef price(self):\n    # a comment\n    if self.free:\n        return 0\n"
        "    return self.amount * 1.2",
        "def outer(self):\n    def inner(a):\n        b = a\n        return b\n    return inner",
    ]


@pytest.mark.parametrize(
    "name", ["test/shop.py", "idlelib/shop.py", "site-packages/shop.py", "config-3/shop.py"]
)
def test_what_is_not_library_code_is_skipped(library: Make, name: str) -> None:
    assert library(LONG, name) == []


@pytest.mark.parametrize("source", ["def f(:\n", "\0", "def f():\n\tx = 1\n\ty = 2\n\treturn x\n"])
def test_files_that_do_not_serve_are_skipped(library: Make, source: str) -> None:
    assert library(source) == []


def test_a_form_feed_does_not_shift_the_lines(library: Make) -> None:
    source = "x = 1\n\f\ndef f(a):\n    b = a\n    return b\n"
    assert library(source) == ["def f(a):\n    b = a\n    return b"]


def test_the_same_function_is_kept_once(library: Make) -> None:
    body = "(a):\n    b = a\n    return b\n\n"
    assert len(library(f"def f{body}def g{body}")) == 1


@pytest.mark.parametrize(
    "other",
    [
        "def g(a, b=7):\n    return a + 9",
        'def f(a, b=1):\n    """Add."""\n    return a + 2',
        "def f(a, b = 1):\n    # add\n    return (a + 2)",
    ],
)
def test_name_docstring_layout_and_constants_make_no_other_case(other: str) -> None:
    assert canonical(other) == canonical("def f(a, b=1):\n    return a + 2")


@pytest.mark.parametrize(
    "other",
    [
        "def f(a, c=1):\n    return a + 2",
        "def f(a, b=1):\n    return a - 2",
        "def f(a, b=1):\n    return a + 2.5",
        "def f(a, b):\n    return a + 2",
        "async def f(a, b=1):\n    return a + 2",
    ],
)
def test_names_operators_and_types_make_another_case(other: str) -> None:
    assert canonical(other) != canonical("def f(a, b=1):\n    return a + 2")


def test_the_case_is_the_same_for_every_version_of_python() -> None:
    """`ast.dump` changes between versions; what was held out of training must not."""
    source = "def f(a, *, b: int = 3) -> list[str]:\n    return [f'{x}' for x in a if x > b]"
    assert canonical(source) == "8ed5e82739e8b80c195ce2323fc1f7a3"


@pytest.mark.slow
def test_the_standard_library_gives_thousands_of_functions() -> None:
    train, test = functions("train"), functions("test")
    assert len(train) > 4000
    assert len(test) > 150
    assert not {key for _, key in train} & {key for _, key in test}
    for source, _ in test:
        assert 3 <= len(source.split("\n")) <= 14
        assert len(source) <= 420
        ast.parse(source)
