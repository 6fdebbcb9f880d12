"""Textbook functions are valid, many, and known by their names."""

import ast
import random

from canvaslm.tasks.code_stdlib import canonical
from canvaslm.tasks.code_textbook import function
from canvaslm.tasks.task import split_of

SOURCES = [function(random.Random(seed)) for seed in range(4000)]


def test_every_function_is_one_python_function_of_a_small_size() -> None:
    for source in SOURCES:
        tree = ast.parse(source)
        assert [type(node) for node in tree.body] == [ast.FunctionDef]
        assert len(source) <= 420
        assert source == source.rstrip()
        assert 2 <= source.count("\n") + 1 <= 14


def test_thousands_are_distinct() -> None:
    assert len(set(SOURCES)) > 2000


def test_parameters_are_distinct_and_used() -> None:
    for source in SOURCES:
        arguments = [argument.arg for argument in ast.parse(source).body[0].args.args]
        assert len(set(arguments)) == len(arguments)
        for argument in arguments:
            if argument != "self":
                assert source.count(argument) > 1


def test_enough_cases_are_held_out() -> None:
    cases = {canonical(source) for source in SOURCES}
    assert sum(split_of(case) == "test" for case in cases) > 50
