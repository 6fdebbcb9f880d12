"""Tests of functions: right ones pass, wrong and endless ones do not."""

import _pydecimal
import inspect
import textwrap

import pytest

from canvaslm.eval.infill_cases import InfillPlan, infill_cases
from canvaslm.eval.infill_checks import Doctest, UnitTest, check_of


def test_a_textbook_function_is_held_against_its_original() -> None:
    for case in infill_cases(InfillPlan(n=3, origins=["textbook"])):
        check = check_of(case)
        assert check is not None
        signature = case.gap.source.split("\n")[0]
        assert check.passes(case.gap.source)
        assert not check.passes(f"{signature}\n    pass")
        assert not check.passes("def other():\n    pass")


@pytest.mark.parametrize(
    ("change", "passes"), [(("==", "=="), True), (("return", "return not"), False)]
)
def test_a_doctest_runs_in_the_place_of_the_original(change: tuple[str, str], passes: bool) -> None:
    source = textwrap.dedent(inspect.getsource(_pydecimal.Context.is_finite))
    check = Doctest(module="_pydecimal", name="Context.is_finite")
    assert check.passes(source.replace(*change)) == passes


def test_a_function_without_examples_passes_no_doctest() -> None:
    source = "def dedent(text):\n    return text"
    assert not Doctest(module="textwrap", name="dedent").passes(source)


def test_a_unit_test_is_a_program_after_the_function() -> None:
    check = UnitTest(test="assert double(2) == 4")
    assert check.passes("def double(x):\n    return 2 * x")
    assert not check.passes("def double(x):\n    return x")
