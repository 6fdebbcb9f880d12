"""Batches are a pure function of the step, and hold what they say."""

import dataclasses
import random

import pytest
import torch
from tests.training.conftest import corpus as corpus_of

from canvaslm.tasks import Example, split_of
from canvaslm.tasks.sudoku import Sudoku
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data.tasks import Corpus, Mixture, Tasks, given


def test_a_batch_is_a_pure_function_of_the_step(tokenizer: Tokenizer) -> None:
    first, second = corpus_of(tokenizer), corpus_of(tokenizer)
    second.micros(7)  # what was drawn before changes nothing
    for one, other in zip(first.micros(4), second.micros(4), strict=True):
        assert one.name == other.name
        for key, value in one.batch.tensors.items():
            assert torch.equal(value, other.batch.tensors[key])


def test_steps_and_seeds_differ(tokenizer: Tokenizer) -> None:
    batches = [
        corpus_of(tokenizer, seed=seed).micros(step)[0].batch.noised_RL
        for seed, step in ((0, 0), (0, 2), (1, 0))
    ]
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])


def test_documents_hold_prompt_and_answer_and_canvases_the_answer(tokenizer: Tokenizer) -> None:
    batch = corpus_of(tokenizer).micros(0)[0].batch
    for row, prefix in enumerate(batch.prefix_B.tolist()):
        document, canvas = batch.documents_BN[row], batch.clean_RL[2 * row]
        assert torch.equal(canvas, batch.clean_RL[2 * row + 1])
        ends = canvas.tolist().index(tokenizer.token_id("<turn|>"))
        assert torch.equal(document[prefix : prefix + ends + 1], canvas[: ends + 1])
        assert set(canvas[ends + 1 :].tolist()) <= {tokenizer.token_id("<eos>")}
        assert int(batch.causal_BN[row].sum()) == prefix + ends  # all but the first token


def test_a_mixture_takes_part_in_its_own_steps(tokenizer: Tokenizer) -> None:
    corpus = corpus_of(tokenizer)
    assert [micro.name for micro in corpus.micros(0)] == ["ask", "scenes"]
    assert [micro.name for micro in corpus.micros(1)] == ["ask"]


def test_a_mixture_begins_and_ends() -> None:
    mixture = Mixture(
        tasks={"ask": 1.0}, documents=1, canvas_length=8, every=2, phase=1, since=4, until=8
    )
    assert [step for step in range(12) if mixture.due(step)] == [5, 7]


def test_a_mixture_may_have_shares_of_its_own(tokenizer: Tokenizer) -> None:
    mixture = Mixture(tasks={"sudoku": 1.0}, documents=1, canvas_length=8)
    tasks = Tasks(mixtures=(mixture,), bins={"sudoku": {"40+": 1.0}})
    corpus, rng = Corpus(tasks, tokenizer, seed=0), random.Random(3)
    assert corpus.draw(mixture, rng).bin == "40+"
    own = dataclasses.replace(mixture, bins={"sudoku": {"36-39": 1.0}})
    assert corpus.draw(own, rng).bin == "36-39"


def test_wide_canvases_may_count_more(tokenizer: Tokenizer) -> None:
    narrow = Mixture(tasks={"ask": 1.0}, documents=64, canvas_length=8)
    corpus = corpus_of(tokenizer)
    wide = dataclasses.replace(narrow, wide_share=1.0, wide_weight=3.0)
    assert corpus.batch(narrow, key="0").weight == 1
    batch = corpus.batch(wide, key="0")
    assert (tuple(batch.clean_RL.shape), batch.weight) == ((2, 256), 3)


def test_only_the_training_split_is_drawn(tokenizer: Tokenizer) -> None:
    corpus, rng = corpus_of(tokenizer), random.Random(3)
    mixture = Mixture(tasks={"ask": 1.0, "scenes": 1.0}, documents=1, canvas_length=8)
    drawn = [corpus.draw(mixture, rng) for _ in range(300)]
    assert {split_of(example.canonical) for example in drawn} == {"train"}
    assert {example.task for example in drawn} == {"ask", "scenes"}


def test_half_of_the_tokens_are_noised_on_average(tokenizer: Tokenizer) -> None:
    corpus, generator = corpus_of(tokenizer), torch.Generator().manual_seed(0)
    clean = torch.full((2000, 50), 399)
    noised = corpus.noise(clean, torch.zeros_like(clean).bool(), generator)
    share = (noised != clean).float().mean(dim=1)
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.min() < 0.05
    assert share.max() > 0.95
    assert noised.min() == 0
    assert noised.max() == tokenizer.vocab_size - 1


def test_a_gap_may_show_what_follows_it(tokenizer: Tokenizer) -> None:
    mixture = Mixture(tasks={"code": 1.0}, documents=1, canvas_length=96, suffix_share=1.0)
    example = Example(
        task="code", prompt="?", answer="x = 1", bin="fill", canonical="", after="\nreturn x"
    )
    corpus, generator = corpus_of(tokenizer), torch.Generator().manual_seed(0)
    answer, after = tokenizer.encode(example.answer), tokenizer.encode(example.after)
    shown = slice(len(answer), len(answer) + len(after))
    for _ in range(20):
        batch = corpus.assemble([example], 96, mixture, generator, whole=False)
        assert batch.clean_RL[0, : shown.stop].tolist() == answer + after
        assert batch.noised_RL[0, shown].tolist() == after  # never noised
    hidden = corpus.assemble(
        [example], 96, dataclasses.replace(mixture, suffix_share=0.0), generator, whole=False
    )
    assert int(hidden.clean_RL[0, shown.start]) == tokenizer.token_id("<turn|>")


def test_given_tokens_of_pinned_canvases_stay_clean(tokenizer: Tokenizer) -> None:
    corpus, generator = corpus_of(tokenizer), torch.Generator().manual_seed(0)
    clean = torch.full((200, 40), 399)
    known = torch.arange(40).expand(200, 40) < 10
    noised = corpus.noise(clean, known, generator)
    assert torch.equal(noised[:, :10], clean[:, :10])
    assert not torch.equal(noised[:, 10:], clean[:, 10:])


def test_a_sudokus_clues_are_given(tokenizer: Tokenizer) -> None:
    example = Sudoku(train_pool=4).sample(random.Random(0), split="train", bin="40+")
    marks = given(example)
    puzzle = example.prompt.partition("\n")[2]
    assert len(marks) == len(example.answer) == len(tokenizer.encode(example.answer)) == 89
    for mark, asked, answered in zip(marks, puzzle, example.answer, strict=True):
        assert mark == (asked == answered)


def test_nothing_else_gives_its_answer_away() -> None:
    example = Example(task="ask", prompt="Is it?\nyes", answer="yes", bin="yes/no", canonical="")
    assert given(example) == []
