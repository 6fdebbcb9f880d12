import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from tests.control.language.walks import LETTERS, Walker, accepts, steps_of

from canvaslm import errors
from canvaslm.control.automaton import TokenAutomaton
from canvaslm.control.language import (
    Choice,
    Json,
    Regex,
    ToolCall,
    Vocabulary,
    compile_constraint,
    matches,
)
from canvaslm.text.tokenizer import Tokenizer

PATTERNS = ["(ab|c)*", "a{0,3}b?", "(a|ab)(c|bcd)?", "[ac]{2,4}|b+", "é*a", "(abc)*(ab)?", "a*b*c*"]


def _random_entries(rng: random.Random) -> list[bytes]:
    """Some of whose bytes are no whole characters, and some of which are alike or empty."""
    pieces = [bytes(rng.choices(b"abc\xc3\xa9", k=rng.randrange(4))) for _ in range(7)]
    return [*pieces, pieces[0], b"a", b"b", "é".encode()]


def _spells(constraint: Regex, entries: Sequence[bytes], ids: Sequence[int]) -> bool:
    parts = [entries[id] for id in ids]
    if not all(parts):
        return False
    try:
        return matches(constraint, b"".join(parts).decode())
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("seed", range(3))
def test_allows_exactly_the_token_strings_that_spell_it(pattern: str, seed: int) -> None:
    entries = _random_entries(random.Random(seed))
    constraint = Regex(pattern)
    automaton = compile_constraint(constraint, Vocabulary.from_bytes(entries))
    steps = steps_of(automaton)
    for length in range(4):
        for ids in itertools.product(range(len(entries)), repeat=length):
            state: int | None = automaton.start
            for id in ids:
                state = None if state is None else steps[state].get(int(automaton.class_of_V[id]))
            accepted = state is not None and bool(automaton.accepting_S[state])
            assert accepted == _spells(constraint, entries, ids)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_classes_are_as_few_as_can_be(pattern: str) -> None:
    automaton = compile_constraint(
        Regex(pattern), Vocabulary.from_bytes(_random_entries(random.Random(5)))
    )
    _check_form(automaton)


def _check_form(automaton: TokenAutomaton) -> None:
    columns: dict[int, list[tuple[int, int]]] = {c: [] for c in range(automaton.classes)}
    edges = [e.tolist() for e in (automaton.source_E, automaton.label_E, automaton.target_E)]
    for source, label, target in zip(*edges, strict=True):
        columns[label].append((source, target))
    assert columns.pop(0) == []
    assert len({tuple(column) for column in columns.values()}) == len(columns)
    assert all(columns.values())
    assert set(automaton.class_of_V.tolist()) | {0} == set(range(automaton.classes))
    places = list(zip(edges[0], edges[1], strict=True))
    assert places == sorted(set(places))
    assert automaton.start == 0
    assert (automaton.distance_S >= 0).all()
    assert ((automaton.distance_S == 0) == automaton.accepting_S).all()
    reached = {0} | set(edges[2])
    assert reached == set(range(automaton.states))


def test_distances_are_the_fewest_tokens() -> None:
    automaton = compile_constraint(
        Regex("abab|c"), Vocabulary.from_bytes([b"ab", b"a", b"b", b"c"])
    )
    assert automaton.distance_S[0] == 1
    for source, target in zip(automaton.source_E, automaton.target_E, strict=True):
        assert automaton.distance_S[source] <= automaton.distance_S[target] + 1


def test_states_that_tokens_cannot_reach_or_complete_are_left_out() -> None:
    automaton = compile_constraint(Regex("ab|cd|ef"), Vocabulary.from_bytes([b"ab", b"c", b"f"]))
    assert automaton.states == 2
    assert automaton.class_of_V.tolist() == [1, 0, 0]


def test_a_vocabulary_that_cannot_spell_it_is_refused() -> None:
    with pytest.raises(errors.ConstraintError, match="no tokens of the vocabulary spell"):
        compile_constraint(Regex("ab"), Vocabulary.from_bytes([b"a", b"c"]))


def test_control_and_end_tokens_and_unused_ids_are_never_allowed(tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size + 5
    automaton = compile_constraint(Regex(r"[\s\S]*"), Vocabulary.of(tokenizer, size=size))
    silent = {*tokenizer.special_ids, *tokenizer.eos_ids, *range(tokenizer.vocab_size, size)}
    never = {bytes([byte]) for byte in (0xC0, 0xC1, *range(0xF5, 0x100))}  # in no UTF-8
    refused = set(np.flatnonzero(automaton.class_of_V == 0).tolist())
    assert silent <= refused
    assert {tokenizer.token_bytes(id) for id in refused - silent} == never


def test_a_vocabulary_is_read_once_for_each_tokenizer(tokenizer: Tokenizer) -> None:
    assert Vocabulary.of(tokenizer) is Vocabulary.of(tokenizer)
    with pytest.raises(errors.ParameterError, match="size is 5, fewer than the 2048"):
        Vocabulary.of(tokenizer, size=5)


@pytest.mark.parametrize("constraint", [Regex(r"\w+ (é|ü)*"), Choice(["Rome", "Zürich"]), Json(1)])
def test_the_embedded_vocabulary_spells_what_is_allowed(
    constraint: Regex | Choice | Json, vocabulary: Vocabulary, tokenizer: Tokenizer
) -> None:
    automaton = compile_constraint(constraint, vocabulary)
    _check_form(automaton)
    rng, walker = random.Random(1), Walker(automaton)
    for _ in range(20):
        ids = walker.walk(rng, budget=int(automaton.distance_S[0]) + rng.randrange(20))
        assert matches(constraint, tokenizer.decode(ids))


def test_whatever_way_a_text_is_cut_into_tokens_is_allowed(
    vocabulary: Vocabulary, tokenizer: Tokenizer
) -> None:
    text = "Zürich (ZH)"
    automaton = compile_constraint(Choice([text]), vocabulary)
    letters = [id for c in text for id in tokenizer.encode(c)]
    for ids in (tokenizer.encode(text), letters):
        assert accepts(automaton, ids)
        assert not accepts(automaton, ids[:-1])


def test_a_control_token_is_one_symbol() -> None:
    tool = {"name": "f", "parameters": {"properties": {"s": {"type": "string"}}}}
    names = {"<|tool_call>": 256, "<tool_call|>": 257, '<|"|>': 258}
    vocabulary = Vocabulary.from_bytes([*LETTERS, b"", b"", b""], controls=names)
    automaton = compile_constraint(ToolCall([tool]), vocabulary)
    assert accepts(automaton, [256, *b"call:f{s:", 258, *b'<|"|>', 258, *b"}", 257])
    assert not accepts(automaton, [256, *b'call:f{s:<|"|>x<|"|>}', 257])
    assert not accepts(automaton, [*b"<|tool_call>call:f{}<tool_call|>"])


def test_a_missing_control_token_is_named() -> None:
    with pytest.raises(errors.ConstraintError, match=r"no control token '<.*tool calls"):
        compile_constraint(ToolCall([{"name": "f"}]), Vocabulary.from_bytes(LETTERS))
