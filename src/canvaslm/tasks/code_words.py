"""The nouns, tests and changes that the textbook functions of the code task are made of."""

import random

NUMBERS = {
    "numbers": "number",
    "values": "value",
    "prices": "price",
    "scores": "score",
    "ages": "age",
    "weights": "weight",
    "heights": "height",
    "sizes": "size",
    "amounts": "amount",
    "costs": "cost",
    "marks": "mark",
    "speeds": "speed",
    "lengths": "length",
    "counts": "n",
    "points": "point",
    "temperatures": "temperature",
    "distances": "distance",
    "salaries": "salary",
    "readings": "reading",
    "levels": "level",
}
"""Collections of numbers -> one of them."""

TEXTS = {
    "words": "word",
    "names": "name",
    "lines": "line",
    "titles": "title",
    "tags": "tag",
    "labels": "label",
    "keys": "key",
    "cities": "city",
    "tokens": "token",
    "strings": "string",
}
"""Collections of strings -> one of them."""

CONSTANTS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 50, 100)


def number_test(rng: random.Random, one: str) -> tuple[str, str]:
    """A property of a number: its name, and the expression that tests `one` for it."""
    n = rng.choice(CONSTANTS)
    return rng.choice(
        (
            ("even", f"{one} % 2 == 0"),
            ("odd", f"{one} % 2 == 1"),
            ("positive", f"{one} > 0"),
            ("negative", f"{one} < 0"),
            ("nonzero", f"{one} != 0"),
            (f"above_{n}", f"{one} > {n}"),
            (f"below_{n}", f"{one} < {n}"),
            (f"at_least_{n}", f"{one} >= {n}"),
            (f"at_most_{n}", f"{one} <= {n}"),
            (f"divisible_by_{n}", f"{one} % {n} == 0"),
            (f"between_{n}_and_{2 * n}", f"{n} <= {one} <= {2 * n}"),
        )
    )


def text_test(rng: random.Random, one: str) -> tuple[str, str]:
    """A property of a string: its name, and the expression that tests `one` for it."""
    n, letter = rng.choice(CONSTANTS), rng.choice("abcdefghijklmnoprstw")
    return rng.choice(
        (
            (f"longer_than_{n}", f"len({one}) > {n}"),
            (f"shorter_than_{n}", f"len({one}) < {n}"),
            (f"starting_with_{letter}", f'{one}.startswith("{letter}")'),
            (f"ending_with_{letter}", f'{one}.endswith("{letter}")'),
            (f"containing_{letter}", f'"{letter}" in {one}'),
            ("upper", f"{one}.isupper()"),
            ("lower", f"{one}.islower()"),
            ("numeric", f"{one}.isdigit()"),
            ("empty", f'{one} == ""'),
        )
    )


def number_change(rng: random.Random, one: str) -> tuple[str, str]:
    """A change of a number: its verb, and the expression that applies it to `one`."""
    n = rng.choice(CONSTANTS)
    return rng.choice(
        (
            ("double", f"{one} * 2"),
            ("halve", f"{one} / 2"),
            ("square", f"{one} * {one}"),
            ("negate", f"-{one}"),
            ("round", f"round({one})"),
            (f"add_{n}_to", f"{one} + {n}"),
            (f"subtract_{n}_from", f"{one} - {n}"),
            (f"multiply_by_{n}", f"{one} * {n}"),
            (f"divide_by_{n}", f"{one} / {n}"),
            (f"limit_to_{n}", f"min({one}, {n})"),
            (f"raise_to_{n}", f"max({one}, {n})"),
        )
    )


def text_change(rng: random.Random, one: str) -> tuple[str, str]:
    """A change of a string: its verb, and the expression that applies it to `one`."""
    n = rng.choice(CONSTANTS)
    return rng.choice(
        (
            ("upper", f"{one}.upper()"),
            ("lower", f"{one}.lower()"),
            ("strip", f"{one}.strip()"),
            ("capitalize", f"{one}.capitalize()"),
            ("reverse", f"{one}[::-1]"),
            ("measure", f"len({one})"),
            ("split", f"{one}.split()"),
            (f"repeat_{n}_times", f"{one} * {n}"),
            (f"first_{n}_of", f"{one}[:{n}]"),
            (f"last_{n}_of", f"{one}[-{n}:]"),
        )
    )
