"""Calls of textbook functions: they mostly return, and tell right from wrong."""

import ast
import random
from collections import Counter
from dataclasses import asdict

from canvaslm.eval.sandbox_child import run_calls
from canvaslm.tasks import code_textbook
from canvaslm.tasks.code_calls import calls


def outcomes(source: str, like: str | None = None) -> list[list[str]]:
    """What `source` does when called as the function `like` would be."""
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    made = calls(like or source, random.Random(7))
    return run_calls(source, function.name, [asdict(call) for call in made])


def test_every_template_is_called_so_that_it_returns() -> None:
    rng = random.Random(1)
    for _ in range(400):
        source = code_textbook.function(rng)
        kinds = Counter(kind for kind, *_ in outcomes(source))
        assert kinds["returned"] >= 1, source


def test_a_function_without_its_body_is_noticed() -> None:
    rng = random.Random(2)
    for _ in range(400):
        source = code_textbook.function(rng)
        signature = source.split("\n")[0]
        assert outcomes(f"{signature}\n    pass", like=source) != outcomes(source), source


def test_both_sides_of_a_comparison_are_met() -> None:
    source = "def is_above_50(price):\n    return price > 50"
    off_by_one = source.replace(">", ">=")
    assert outcomes(off_by_one, like=source) != outcomes(source)


def test_another_way_to_say_the_same_is_the_same() -> None:
    source = "def halve_all(prices):\n    return [price / 2 for price in prices]"
    other = "def halve_all(prices):\n    return list(map(lambda price: price * 0.5, prices))"
    assert outcomes(other, like=source) == outcomes(source)


def test_changes_to_self_and_to_arguments_count() -> None:
    method = "def clear_names(self):\n    self.names = []"
    assert outcomes("def clear_names(self):\n    pass", like=method) != outcomes(method)
    in_place = "def f(names):\n    names.append(1)"
    assert outcomes("def f(names):\n    pass", like=in_place) != outcomes(in_place)


def test_keys_are_looked_up_in_mappings() -> None:
    source = "def get_price(prices, key):\n    return prices[key]"
    made = calls(source, random.Random(3))
    assert all(isinstance(call.arguments[0], dict) for call in made)
    assert any(call.arguments[1] in call.arguments[0] for call in made)  # type: ignore[operator]
