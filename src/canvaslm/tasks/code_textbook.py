"""Small textbook functions, thousands of them: the name always tells what the body has to be."""

import random
from collections.abc import Mapping
from string import Template

from canvaslm.tasks import code_templates
from canvaslm.tasks.code_words import (
    CONSTANTS,
    NUMBERS,
    TEXTS,
    number_change,
    number_test,
    text_change,
    text_test,
)

_Words = Mapping[str, object]


def function(rng: random.Random) -> str:
    """The source of a random function, without a trailing newline."""
    draw, source = rng.choice(_TEMPLATES)
    return Template(source).substitute(draw(rng))


def _collection(rng: random.Random) -> _Words:
    many, one = rng.choice(tuple((NUMBERS | TEXTS).items()))
    return {"many": many, "one": one, "key": rng.choice(("key", "name", "label", "code"))}


def _numbers(rng: random.Random) -> _Words:
    many, one = rng.choice(tuple(NUMBERS.items()))
    low, high = rng.choice((("low", "high"), ("minimum", "maximum"), ("lower", "upper")))
    a, b = rng.choice((("a", "b"), ("x", "y"), ("first", "second"), ("left", "right")))
    best, sign = rng.choice((("largest", ">"), ("smallest", "<")))
    kind, test = number_test(rng, one)
    words = {"many": many, "one": one, "low": low, "high": high, "a": a, "b": b}
    return words | {"best": best, "sign": sign, "kind": kind, "test": test}


def _texts(rng: random.Random) -> _Words:
    many, one = rng.choice(tuple(TEXTS.items()))
    best, sign = rng.choice((("longest", ">"), ("shortest", "<")))
    trait, value = rng.choice(
        (
            ("length", f"len({one})"),
            ("first_letter", f"{one}[0]"),
            ("last_letter", f"{one}[-1]"),
            ("lower_case", f"{one}.lower()"),
        )
    )
    name, mark = rng.choice(
        (("commas", ","), ("spaces", " "), ("dashes", "-"), ("dots", "."), ("slashes", "/"))
    )
    words = {"many": many, "one": one, "best": best, "sign": sign}
    return words | {"trait": trait, "value": value, "mark_name": name, "mark": mark}


def _tested(rng: random.Random) -> _Words:
    if rng.random() < 0.6:
        many, one = rng.choice(tuple(NUMBERS.items()))
        kind, test = number_test(rng, one)
    else:
        many, one = rng.choice(tuple(TEXTS.items()))
        kind, test = text_test(rng, one)
    said = kind.replace("_", " ")
    return {"many": many, "one": one, "kind": kind, "test": test, "said": said}


def _changed(rng: random.Random) -> _Words:
    if rng.random() < 0.6:
        many, one = rng.choice(tuple(NUMBERS.items()))
        verb, change = number_change(rng, one)
    else:
        many, one = rng.choice(tuple(TEXTS.items()))
        verb, change = text_change(rng, one)
    return {"many": many, "one": one, "verb": verb, "change": change}


def _pair(rng: random.Random) -> _Words:
    a, b = rng.sample(tuple(NUMBERS), 2)
    verb, sign = rng.choice((("add", "+"), ("subtract", "-"), ("multiply", "*"), ("divide", "/")))
    return {"a": a, "b": b, "one": NUMBERS[a], "other": NUMBERS[b], "verb": verb, "sign": sign}


def _measure(rng: random.Random) -> _Words:
    name, parameters, formula = rng.choice(
        (
            ("area_of_rectangle", "width, height", "width * height"),
            ("perimeter_of_rectangle", "width, height", "2 * (width + height)"),
            ("area_of_square", "side", "side * side"),
            ("perimeter_of_square", "side", "4 * side"),
            ("area_of_triangle", "base, height", "base * height / 2"),
            ("area_of_circle", "radius", "3.14159 * radius * radius"),
            ("circumference_of_circle", "radius", "2 * 3.14159 * radius"),
            ("volume_of_box", "width, height, depth", "width * height * depth"),
            ("volume_of_cube", "side", "side * side * side"),
            ("speed", "distance, time", "distance / time"),
            ("density", "mass, volume", "mass / volume"),
            ("force", "mass, acceleration", "mass * acceleration"),
            ("simple_interest", "principal, rate, years", "principal * rate * years"),
        )
    )
    last = parameters.rpartition(", ")[2]
    return {"name": name, "parameters": parameters, "formula": formula, "last": last}


def _units(rng: random.Random) -> _Words:
    small, big, factor = rng.choice(
        (
            ("seconds", "minutes", 60),
            ("minutes", "hours", 60),
            ("hours", "days", 24),
            ("days", "weeks", 7),
            ("months", "years", 12),
            ("meters", "kilometers", 1000),
            ("grams", "kilograms", 1000),
            ("cents", "euros", 100),
            ("inches", "feet", 12),
            ("millimeters", "centimeters", 10),
            ("bytes", "kilobytes", 1024),
            ("bits", "bytes", 8),
        )
    )
    return {"small": small, "big": big, "factor": factor}


def _whole_number(rng: random.Random) -> _Words:
    limit, n = rng.choice(("limit", "stop", "end", "maximum")), rng.choice(CONSTANTS)
    one = rng.choice(("n", "number", "value", "count"))
    name, start, step = rng.choice(
        (
            (f"multiples_of_{n}", n, f"+= {n}"),
            (f"powers_of_{n}", 1, f"*= {n}"),
            (f"count_by_{n}", 0, f"+= {n}"),
        )
    )
    return {"n": one, "limit": limit, "name": name, "start": start, "step": step}


def _text(rng: random.Random) -> _Words:
    names = ("text", "word", "line", "name", "string", "message", "title", "sentence")
    return {"text": rng.choice(names)}


def _fields(rng: random.Random) -> _Words:
    fields = rng.sample((*NUMBERS.values(), *TEXTS.values()), rng.randint(2, 4))
    by = rng.choice(("amount", "step", "change", "delta"))
    verb, sign = rng.choice((("increase", "+"), ("decrease", "-"), ("scale", "*")))
    return {
        "fields": ", ".join(fields),
        "stores": "\n    ".join(f"self.{field} = {field}" for field in fields),
        "one": fields[0],
        "both": "_and_".join(fields[:2]),
        "shown": ", ".join(f"{{self.{field}}}" for field in fields[:2]),
        "by": by,
        "verb": verb,
        "sign": sign,
    }


_TEMPLATES = [
    (draw, source)
    for draw, sources in (
        (_tested, code_templates.TESTED),
        (_changed, code_templates.CHANGED),
        (_numbers, code_templates.OF_NUMBERS),
        (_texts, code_templates.OF_TEXTS),
        (_collection, code_templates.OF_ANYTHING),
        (_pair, code_templates.OF_PAIRS),
        (_measure, code_templates.MEASURES),
        (_units, code_templates.CONVERSIONS),
        (_whole_number, code_templates.ARITHMETIC),
        (_text, code_templates.OF_TEXT),
        (_fields, code_templates.METHODS),
    )
    for source in sources
]
