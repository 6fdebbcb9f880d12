import itertools
import json
import random
import sys

import lark
import pytest
from tests.control.language.walks import LETTERS, Walker

from canvaslm import errors
from canvaslm.control.language import Grammar, Vocabulary, compile_constraint, matches

SUMS = """
start: expr
expr: term | expr "+" term
term: /[0-9]/ | "(" expr ")"
"""
JSON = r"""
?start: value
?value: object | array | STRING | NUMBER | "true" | "false" | "null"
array: "[" [value ("," value)*] "]"
object: "{" [pair ("," pair)*] "}"
pair: STRING ":" value
STRING: /"[^"\\\x00-\x1f]*"/
NUMBER: /-?(0|[1-9]\d*)(\.\d+)?/
%ignore /[ \t\n]+/
"""


@pytest.mark.parametrize(
    ("grammar", "alphabet"),
    [
        (SUMS, "1+()"),
        ('start: "a" start | "b"', "ab"),
        ('start: start "a" | "b" start | start "ab" start | ', "ab"),
        ('start: a b?\na: "a"+\nb: ("b" | a)~1..2', "ab"),
        ('start: [A] "b" A*\nA: /a/i', "abA"),
        ('start: (A | B)* \nA.2: "a"\nB: "ab"\n%ignore " "', "ab "),
    ],
)
def test_derives_what_lark_parses(grammar: str, alphabet: str) -> None:
    parser = lark.Lark(grammar, parser="earley", lexer="dynamic_complete")
    constraint = Grammar(grammar, depth=4)
    for text in ("".join(s) for n in range(6) for s in itertools.product(alphabet, repeat=n)):
        assert matches(constraint, text) == _parses(parser, text), text


def _parses(parser: lark.Lark, text: str) -> bool:
    try:
        parser.parse(text)
    except lark.exceptions.LarkError:
        return False
    return True


def test_rules_that_repeat_at_an_end_are_not_limited_and_others_are() -> None:
    constraint = Grammar(SUMS, depth=2)
    assert matches(constraint, "+".join("1" * 200))
    assert matches(constraint, "((1+1))+1")
    assert not matches(constraint, "(((1)))")


def test_a_grammar_of_json_gives_json() -> None:
    constraint = Grammar(JSON, depth=2)
    assert matches(constraint, '{"ab" : [1, 2.5, {}],\n"c": true }')
    assert not matches(constraint, '{"a" 1}')
    automaton = compile_constraint(constraint, Vocabulary.from_bytes(LETTERS))
    rng, walker = random.Random(1), Walker(automaton)
    for _ in range(10):
        json.loads(bytes(walker.walk(rng, budget=40)))


def test_larks_escaped_string_ends_at_the_first_quote_that_is_not_escaped() -> None:
    constraint = Grammar("start: ESCAPED_STRING\n%import common.ESCAPED_STRING")
    for text in ('""', '"a\\"b"', '"\\\\"', '"é"'):
        assert matches(constraint, text)
    for text in ('"', '"a"b"', '"\\"', '"a\n"'):
        assert not matches(constraint, text)


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("start: foo", "Rule 'foo' used but not defined"),
        ("start: (", "grammar: "),
        ('a: "x"', "grammar: .*start"),
        ('start: "a" start "b"', "no text derives from start"),
        ("start: /a(?=b)/", "grammar: terminal .*lookaround at position 1"),
        ("start: A\n%declare A", "rule start uses the terminal A, which has no pattern"),
        ("%import .local.A\nstart: A", r"\.local\.A cannot be imported"),
        (3, "a grammar must be a string, got 3"),
    ],
)
def test_what_cannot_be_read_is_named(grammar: str, message: str) -> None:
    with pytest.raises(errors.ConstraintError, match=message):
        Grammar(grammar)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lark", None)
    with pytest.raises(errors.ConstraintError, match=r"pip install 'canvaslm\[constraints\]'"):
        Grammar('start: "a"')
