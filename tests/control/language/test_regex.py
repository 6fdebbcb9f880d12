import itertools
import random
import re

import pytest

from canvaslm import errors
from canvaslm.control.language import Regex, matches
from canvaslm.control.language.nodes import Node
from canvaslm.control.language.regex import parse_regex

ALPHABET = "ab1é\n"
ATOMS = [
    "a",
    "b",
    "1",
    "é",
    ".",
    "[ab]",
    "[^a]",
    r"\d",
    r"\w",
    r"\s",
    r"[^\w]",
    r"\D",
    "[a-z1]",
    "",
]
STRINGS = ["".join(s) for n in range(5) for s in itertools.product(ALPHABET, repeat=n)]


def _random_pattern(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(ATOMS)
    left, right = (_random_pattern(rng, depth - 1) for _ in range(2))
    shapes = [left + right, f"(?:{left}|{right})", f"({left})", f"(?:{left}){_repeat(rng)}"]
    return rng.choice(shapes)


def _repeat(rng: random.Random) -> str:
    return rng.choice(["*", "+", "?", "{2}", "{1,3}", "{2,}", "{0,2}?", "*?", "+?", "??"])


def _expected(pattern: str, text: str) -> bool:
    return bool(re.fullmatch(pattern, text) and re.fullmatch(pattern, text, re.ASCII))


@pytest.mark.parametrize("seed", range(60))
def test_matches_what_re_matches_in_full(seed: int) -> None:
    pattern = _random_pattern(random.Random(seed), 4)
    constraint = Regex(pattern)
    try:
        ours = {text for text in STRINGS if matches(constraint, text)}
    except errors.ConstraintError:  # nothing at all matches
        ours = set()
    assert ours <= {text for text in STRINGS if re.fullmatch(pattern, text)}
    if not re.search(r"\\[dws]|\\D", pattern):  # classes take less, and so may what holds them
        assert ours == {text for text in STRINGS if _expected(pattern, text)}


@pytest.mark.parametrize(
    "pattern",
    [
        *("^ab$", r"\Aab\Z", "^a|b$", "(^a|b$)", "(?i)aB", "(?i:a)b", "(?s).b", "(?x) a  b # c"),
        *("a{0}b", "(?i)[^a]b", "(?P<n>a)b", "", "|a", "[]a]b", "(?:a|ab)(?:c|bcd)?", r"(?a)\wb"),
        *(r"[\s\S]b", "^$", "(^)a(b$)"),
    ],
)
def test_reads_pythons_syntax(pattern: str) -> None:
    constraint = Regex(pattern)
    for text in ("".join(s) for n in range(4) for s in itertools.product("abAB]cd\n", repeat=n)):
        assert matches(constraint, text) == bool(re.fullmatch(pattern, text)), text


@pytest.mark.parametrize(
    "pattern", ["a", "^a", "a$", "^a$", "^a|b$", "(a|^b)$|x", "(^a|b)x|(x|b$)", "", "^", "$", "a*b"]
)
def test_a_search_may_match_anywhere(pattern: str) -> None:
    constraint = _Search(pattern)
    for text in ("".join(s) for n in range(4) for s in itertools.product("abx", repeat=n)):
        assert matches(constraint, text) == bool(re.search(pattern, text)), text


class _Search:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def language(self) -> Node:
        return parse_regex(self.pattern, search=True)


def test_classes_take_what_both_readings_take() -> None:
    arabic = "٣"
    for pattern in (r"\d", r"\D", r"[^\d]", r"[^\D]"):
        assert not matches(Regex(pattern), arabic)
    assert matches(Regex(r"\D"), "é")
    assert matches(Regex(r"[^\s]"), "é")
    assert matches(Regex(r"[\s\S]"), "\x1c")
    assert not matches(Regex(r"(?i)[^k]"), "\u212a")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a(?=b)", "lookaround at position 1"),
        ("a(?<=a)b", "lookaround at position 1"),
        ("[(?!](?!b)", "negative lookaround at position 5"),
        (r"[\b]x\bx", r"word boundary \\b at position 5"),
        (r"\Bx", r"non-boundary \\B at position 0"),
        (r"(a)\1", "backreference at position 3"),
        ("(?P<n>a)(?P=n)", "backreference at position 8"),
        ("(x)(?(1)a|b)", "conditional group at position 3"),
        ("(?>a)", "atomic group at position 0"),
        ("ba++", "possessive repeat at position 2"),
        ("a^b", r"\^ stands elsewhere than at the beginning"),
        ("(a$)*b", r"\$ stands elsewhere than at the end"),
        ("(?m)^a", r"\(\?m\) is not supported"),
        ("(?i)ä", r"\(\?i\) is supported for ASCII letters only"),
        ("a(b", "cannot be read at position 1"),
        ("*", "cannot be read at position 0"),
        (r"\p{L}", "cannot be read at position 0"),
        ("(" * 3000 + ")" * 3000, "nests too deep"),
        (3, "must be a string, got 3"),
        (b"a", "must be a string"),
    ],
)
def test_what_is_no_finite_automaton_is_refused_by_name(pattern: str, message: str) -> None:
    with pytest.raises(errors.ConstraintError, match=message):
        Regex(pattern)


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(errors.ConstraintError, match="nothing satisfies Regex"):
        matches(Regex(r"[^\s\S]"), "a")


@pytest.mark.parametrize(
    "pattern", ["(a|b)*a(a|b){20}", "a{1000000}", "((a{99}){99}){99}", ".{9000}"]
)
def test_an_automaton_that_is_too_large_is_refused(pattern: str) -> None:
    with pytest.raises(errors.ConstraintError, match=r"lower maxLength.* the counts of repeats"):
        matches(Regex(pattern), "a")
