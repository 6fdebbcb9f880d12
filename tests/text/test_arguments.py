"""Gemma's notation of tool-call arguments."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.text.arguments import MAX_DEPTH, parse_arguments

KEYS = st.text("abcXYZ_019", min_size=1)
VALUES = st.recursive(
    st.booleans()
    | st.none()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def parse(text: str) -> dict:
    return parse_arguments(text.split("'"))


@given(arguments=st.dictionaries(KEYS, VALUES, max_size=4), quoted_keys=st.booleans())
def test_what_is_written_is_read(arguments, quoted_keys):
    pieces = [""]

    def write(value: object) -> None:
        if isinstance(value, str):
            pieces.extend([value, ""])
        elif isinstance(value, dict):
            write_members("{", "}", value)
        elif isinstance(value, list):
            write_members("[", "]", dict.fromkeys(range(len(value))), value)
        else:
            pieces[-1] += str(value).lower() if isinstance(value, bool) else str(value)

    def write_members(start: str, end: str, members: dict, items: list | None = None) -> None:
        pieces[-1] += start
        for n, key in enumerate(members):
            pieces[-1] += "," if n else ""
            if items is None and quoted_keys:
                write(key)
            elif items is None:
                pieces[-1] += key
            pieces[-1] += ":" if items is None else ""
            write(members[key] if items is None else items[key])
        pieces[-1] += end

    write(arguments)
    read = parse_arguments(pieces)
    assert read == arguments
    assert json.loads(json.dumps(read)) == read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("{ a : 1 ,\n b : [ true , null ] }", {"a": 1, "b": [True, None]}),
        ("{a:-1.5e3}", {"a": -1500.0}),
        ("{a:'x,{y}'}", {"a": "x,{y}"}),
        ("{'a b':''}", {"a b": ""}),
        (
            "{a:New York,b:007,c:1e999,d:nan}",
            {"a": "New York", "b": "007", "c": "1e999", "d": "nan"},
        ),
        ("{a:{},b:[]}", {"a": {}, "b": []}),
    ],
)
def test_the_notation(text, value):
    assert parse(text) == value


def test_a_number_longer_than_python_reads_stays_text():
    assert parse("{a:" + "9" * 5000 + "}") == {"a": "9" * 5000}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the end stands where '{'"),
        ("a", "'a' stands where '{'"),
        ("{", "the end stands where a key"),
        ("{a", "where ':' must follow the key 'a'"),
        ("{a:", "the end stands where a value"),
        ("{a:1", "the end stands where ',' must follow a value"),
        ("{a:1,}", "'}' stands where a key"),
        ("{a:,b:1}", "',' stands where a value"),
        ("{a:[1}", "'}' stands where ','"),
        ("{a:[1,]}", "']' stands where a value"),
        ("{a:1:2}", "':' stands where ','"),
        ("{a:'x'y}", "'y' stands where ','"),
        ("{a:1}}", "'}' follows the closing brace"),
        ("{a:1,a:2}", "'a' appears twice"),
        ("{a:'x}", "no closing quote"),
    ],
)
def test_what_does_not_fit_is_said(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse(text)


@given(text=st.text("{}[],:' a1", max_size=20))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ValueError):
        json.dumps(parse(text), allow_nan=False)


def test_depth_is_limited():
    deep = "{a:" + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}"
    assert parse(deep)
    for text in ("{a:" + "[" * 100_000, "{a:" * 100_000):
        with pytest.raises(ValueError, match="levels deep"):
            parse(text)
