"""Functions of the standard library that bring a test along."""

import pytest

from canvaslm.tasks.code_doctests import doctests
from canvaslm.tasks.code_stdlib import canonical


@pytest.mark.slow
def test_functions_with_examples_are_found_where_they_stand() -> None:
    found = doctests()
    places = set(found.values())
    assert ("_pydecimal", "Context.is_finite") in places
    assert all(canonical(source) for source in found)
