"""Motifs stand at their places, and a scorer takes every answer in which they do."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.tasks.motif import (
    DECIDED,
    FINGER,
    JOINED,
    LENGTH,
    RESIDUES,
    SHORT,
    Motif,
    elements,
    matches,
    read,
)
from canvaslm.tasks.task import Example

TASK = Motif()


def examples(rng: random.Random, bin: str | None = None, count: int = 60) -> list[Example]:
    return [TASK.sample(rng, split="train", bin=bin) for _ in range(count)]


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        ("N-{P}-[ST]-{P}", ["NASG", "NNTN"], ["NPSG", "NASP", "NAAG", "NAS", "NASGG"]),
        ("[AG]-x(4)-G-K-[ST]", ["APPPPGKT"], ["APPPGKT", "CPPPPGKT", "APPPPGKA"]),
        ("R-G-D", ["RGD"], ["RGE", "rgd", "R-G-D", ""]),
        (
            FINGER,
            ["CAACAAALAAAAAAAAHAAAH", "CAAAACAAALAAAAAAAAHAAAAAH"],
            ["CACAAALAAAAAAAAHAAAH", "CAACAAAAAAAAAAAAHAAAH", "CAACAAALAAAAAAAAHAAAAAAH"],
        ),
    ],
)
def test_a_pattern_is_read_as_prosite_means_it(
    pattern: str, right: list[str], wrong: list[str]
) -> None:
    assert all(matches(pattern, text) for text in right)
    assert not any(matches(pattern, text) for text in wrong)


def test_shown_residues_are_the_answers_and_hidden_ones_a_motif(rng: random.Random) -> None:
    for example in examples(rng, count=200):
        motifs, shown = read(example.prompt)
        assert len(shown) == len(example.answer) == LENGTH
        assert not any(pair in example.answer for pair in JOINED)
        for residue, place in zip(example.answer, shown, strict=True):
            assert place.isdigit() or place == residue
        for pattern, start, end in motifs:
            assert matches(pattern, example.answer[start:end])
            gaps = sum(place.isdigit() for place in shown[start:end])
            decided = [least for allowed, least, _ in elements(pattern) if len(allowed) <= DECIDED]
            assert gaps == sum(decided) > 0


def test_a_bin_says_what_stands_in_the_sequence(rng: random.Random) -> None:
    for bin in TASK.bins:
        for example in examples(rng, bin):
            patterns = [pattern for pattern, _, _ in read(example.prompt)[0]]
            if bin == "finger":
                assert sorted(pattern == FINGER for pattern in patterns) == [False, True]
            else:
                assert len(patterns) == int(bin)
                assert set(patterns) <= set(SHORT)


@given(st.integers(0, 10_000))
def test_any_residues_that_match_are_right(seed: int) -> None:
    chance = random.Random(seed)
    example = TASK.sample(chance, split="test", bin="1")
    [(pattern, start, _)], shown = read(example.prompt)
    filled = list(shown)
    allowed = [letters for letters, size, _ in elements(pattern) for _ in range(size)]
    for place, letters in enumerate(allowed, start=start):
        if shown[place].isdigit():
            filled[place] = chance.choice(letters)
    assert TASK.score(example, "".join(filled)).correct


def test_each_fault_is_told_apart(rng: random.Random) -> None:
    example = next(e for e in examples(rng, "1") if read(e.prompt)[0][0][0] == "R-G-D")
    (_, start, end), answer = read(example.prompt)[0][0], example.answer
    broken = answer[:start] + "RGA" + answer[end:]
    other = (start + 10) % LENGTH
    moved = "A" if answer[other] != "A" else "C"
    changed = answer[:other] + moved + answer[other + 1 :]
    for text, wrong in (
        (broken, "motifs"),
        (changed, "kept"),
        (answer + "A", "sequence"),
        (answer[: LENGTH - 1] + "X", "sequence"),
    ):
        score = TASK.score(example, text)
        assert not score.correct
        assert score.details[wrong] < 1
    assert TASK.score(example, f"{answer}\n").correct


def test_background_residues_are_as_frequent_as_in_proteins(rng: random.Random) -> None:
    text = "".join(e.answer for e in examples(rng, "1", 400))
    for residue in "LAGK":
        assert text.count(residue) / len(text) == pytest.approx(RESIDUES[residue] / 100, rel=0.25)


def test_every_residue_is_one_token_of_the_embedded_model(rng: random.Random) -> None:
    from canvaslm.engine.loading import POCKET
    from canvaslm.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(POCKET)
    assert tokenizer is not None
    for example in examples(rng):
        assert len(tokenizer.encode(example.answer)) == LENGTH
