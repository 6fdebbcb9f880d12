"""The Sudoku recipe: what a batch shows, what it learns from itself, and what it exports."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import canvaslm
from canvaslm.errors import TaskError, TrainingError
from canvaslm.eval.sudoku import How, solve_all, tallies
from canvaslm.model.presets import parameter_count
from canvaslm.tasks.sudoku_files import read_puzzles
from canvaslm.tasks.sudoku_protocol import digits_of
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.loop import train
from canvaslm.training.recipe import Recipe
from canvaslm.training.state import load_state
from canvaslm.training.sudoku import GENERATION, GridModel, sudoku
from canvaslm.training.sudoku_data import GridFeed, Puzzles
from canvaslm.training.sudoku_stages import HARD as HARD_BINS
from canvaslm.training.sudoku_stages import Stage
from canvaslm.training.sudoku_vocabulary import CELLS

HARD = "4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......"


SMALL = Stage(documents=4, canvases=2, alone=6)


def tiny(stages: tuple[Stage, ...] = (SMALL,), **changes: object) -> Recipe:
    recipe = sudoku(size=64, layers=3, steps=4, stages=stages, bfloat16=False)
    data = replace(recipe.data, pool=24, held_out_pool=4, **changes)  # type: ignore[type-var]
    return replace(recipe, data=data, save_every=2)


def opened(
    folder: Path, stages: tuple[Stage, ...] = (SMALL,), **changes: object
) -> tuple[GridFeed, Tokenizer]:
    recipe = tiny(stages, **changes)
    tokenizer = recipe.start.tokenizer(folder, seed=0)
    config = GridModel(hidden_size=64, num_layers=3).config(tokenizer)
    feed = recipe.data.open(tokenizer, config, seed=0)
    assert isinstance(feed, GridFeed)
    return feed, tokenizer


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_the_proposed_model_is_small_enough_and_a_larger_one_is_refused(tmp_path: Path) -> None:
    start = sudoku().start
    assert isinstance(start, GridModel)
    tokenizer = start.tokenizer(tmp_path, seed=0)
    assert parameter_count(start.config(tokenizer)) <= 7_000_000
    with pytest.raises(TrainingError, match="allows 7,000,000"):
        GridModel(hidden_size=256, num_layers=12).config(tokenizer)


def test_a_cell_is_a_token_and_any_text_can_be_written(tmp_path: Path) -> None:
    _, tokenizer = opened(tmp_path)
    grid = " ".join("123456789" * 9)
    assert len(tokenizer.encode(grid)) == 81
    for text in (grid, "Löse dies: 1 22  3\n", HARD):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_every_prompt_ends_in_the_map_which_no_text_can_write(tmp_path: Path) -> None:
    feed, tokenizer = opened(tmp_path)
    cells = [tokenizer.token_id(name) for name in CELLS]
    for text in ("Sudoku", " ".join("123456789" * 9), CELLS[0]):
        assert feed.prompt(text)[-81:] == cells
    assert len(set(cells)) == 81
    assert not set(cells) & set(tokenizer.encode("".join(CELLS), special=False))


def test_a_cell_of_the_map_begins_as_its_row_column_and_box(tmp_path: Path) -> None:
    _, tokenizer = opened(tmp_path)
    model = GridModel(hidden_size=64, num_layers=3).network(tokenizer, seed=0)
    first = tokenizer.token_id(CELLS[0])
    assert first is not None
    map_CD = model.embedding[first : first + 81].detach()
    # Within a box, going right costs the same in every row.
    assert torch.allclose(map_CD[1] - map_CD[0], map_CD[10] - map_CD[9], atol=1e-6)
    assert not torch.allclose(map_CD[3] - map_CD[2], map_CD[30] - map_CD[29], atol=1e-2)


def test_pinned_clues_stay_and_all_else_is_noised_somewhere(tmp_path: Path) -> None:
    feed, tokenizer = opened(tmp_path, pinned_share=1.0, own_share=1.0)
    batch = feed.asked("0", SMALL)
    kept = batch.kept_RL
    assert bool(kept.any())
    for canvas in (batch.noised_RL, batch.start_RL):
        assert torch.equal(canvas[kept], batch.clean_RL[kept])
    prompt = tokenizer.decode(batch.documents_BN[0][: batch.prefix_B[0]].tolist())
    clues = [d > 0 for d in digits_of(prompt)]
    assert kept[0, :81].tolist() == clues
    assert not bool(kept[:, 81:].any())
    none, _ = opened(tmp_path, pinned_share=0.0)
    assert not bool(none.asked("0", SMALL).kept_RL.any())
    alone = none.alone("0", SMALL)
    assert bool(alone.kept_RL.any(dim=1).all())
    assert torch.equal(alone.noised_RL[alone.kept_RL], alone.clean_RL[alone.kept_RL])


def test_every_canvas_of_a_step_counts_the_same(tmp_path: Path) -> None:
    feed, tokenizer = opened(tmp_path)
    asked, alone = feed.micros(0)
    assert (len(asked.batch.clean_RL), len(alone.batch.clean_RL)) == (8, 6)
    assert asked.canvas_weight / 8 == pytest.approx(alone.canvas_weight / 6)
    assert asked.canvas_weight + alone.canvas_weight == pytest.approx(1.0)
    assert alone.causal_weight == 0
    assert tokenizer.decode(alone.batch.documents_BN[0].tolist()).count("Sudoku") == 1
    held = feed.held_out(2)
    assert sum(micro.canvas_weight for micro in held) == pytest.approx(1.0)


def test_batches_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    first, _ = opened(tmp_path)
    second, _ = opened(tmp_path)
    second.micros(0)
    for one, two in zip(first.micros(3), second.micros(3), strict=True):
        for name, value in one.batch.tensors.items():
            assert torch.equal(value, two.batch.tensors[name])
    assert not torch.equal(
        first.asked("3", SMALL).noised_RL[:1], first.asked("4", SMALL).noised_RL[:1]
    )


def test_own_outputs_lie_under_the_noise_and_leave_the_answer_and_clues_alone(
    tmp_path: Path,
) -> None:
    feed, tokenizer = opened(tmp_path, own_share=1.0)
    batch = replace(feed.asked("0", SMALL), own_R=torch.tensor([0, 1, 2, 1, 2, 0, 1, 2]))
    said = tokenizer.encode("7")[0]
    calls: list[int] = []

    def guess(rows: Tensor, canvas: Tensor, before: Tensor | None) -> Tensor:
        calls.append(len(rows))
        assert (before is None) == (len(calls) == 1)
        logits = torch.full((*canvas.shape, tokenizer.vocab_size), -30.0)
        logits[..., said] = 30.0
        return logits

    after = batch.after(guess)
    assert calls == [6, 3]
    assert torch.equal(after.clean_RL, batch.clean_RL)
    assert torch.equal(after.noised_RL[batch.own_R == 0], batch.noised_RL[batch.own_R == 0])
    own = (batch.own_R > 0)[:, None] & ~batch.fresh_RL
    assert torch.equal(after.noised_RL[batch.fresh_RL], batch.noised_RL[batch.fresh_RL])
    assert torch.equal(after.noised_RL[own & batch.kept_RL], batch.clean_RL[own & batch.kept_RL])
    assert set(after.noised_RL[own & ~batch.kept_RL].tolist()) == {said}


def test_hard_steps_look_several_times_and_each_look_sees_the_one_before(tmp_path: Path) -> None:
    stages = (SMALL, replace(SMALL, since=2, alone=40, looks=4))
    feed, tokenizer = opened(tmp_path, stages, own_share=0.0)
    assert not any(bool(micro.batch.looks_R.any()) for micro in feed.micros(1))
    batch = feed.micros(2)[1].batch
    looks = batch.looks_R
    assert set(looks.tolist()) <= {0, 2, 3, 4}
    assert bool(looks.any())
    assert not bool((batch.sighted_R & (looks > 0)).any())
    passes = torch.zeros(len(looks), dtype=torch.int64)

    def guess(rows: Tensor, canvas: Tensor, before: Tensor | None) -> Tensor:
        assert torch.equal(canvas, batch.noised_RL[rows])
        if before is None:
            assert not bool(passes.any())
        else:
            assert torch.equal(before[:, 0, 0], passes[rows].float())
        passes[rows] += 1
        return passes[rows, None, None].expand(-1, canvas.shape[1], tokenizer.vocab_size).float()

    told = batch.after(guess).told
    assert torch.equal(passes, looks)
    assert told is not None
    assert torch.equal(told[0], looks.nonzero().flatten())
    assert torch.equal(told[1][:, 0, 0], looks[told[0]].float())


def test_hard_steps_have_fewer_clues_and_more_noise(tmp_path: Path) -> None:
    many = replace(SMALL, alone=60)
    feed, _ = opened(tmp_path, (many, replace(many, since=1, bins=HARD_BINS, noise=2.0)))
    easy, hard = (feed.micros(step)[1].batch for step in (0, 1))
    assert hard.kept_RL.float().mean() < easy.kept_RL.float().mean()
    shares = [(b.fresh_RL & ~b.kept_RL).sum() / (~b.kept_RL).sum() for b in (easy, hard)]
    assert shares[0] == pytest.approx(0.5, abs=0.12)
    assert shares[1] == pytest.approx(2 / 3, abs=0.12)


def test_a_stopped_run_goes_on_bit_by_bit_and_its_model_is_evaluated(tmp_path: Path) -> None:
    recipe = tiny((SMALL, replace(SMALL, since=2, noise=2.0, looks=3)), own_share=0.7)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    model = train(recipe, whole)
    assert train(recipe, halves, until=2) == halves
    assert not (halves / "model").exists()
    train(recipe, halves, resume=True)
    (one, step), (two, other) = load_state(whole), load_state(halves)
    assert step == other == 4
    assert all(torch.equal(one[name], two[name]) for name in one)
    settings = json.loads((model / "generation_config.json").read_text())
    assert settings.items() >= GENERATION.items()
    lm = canvaslm.load(model)
    path = tmp_path / "hard.txt"
    path.write_text(f"{HARD}\n" * 3)
    puzzles = read_puzzles(path)
    for how in (
        How(max_steps=2),
        How(max_steps=2, pins=True, batch=2),
        How(max_steps=2, alone=True),
        How(max_steps=2, sighted=False),
        How(mode="ar"),
    ):
        rows = tallies(solve_all(lm, puzzles, how))
        assert set(rows) == {"<24", "hard", "all"}
        assert rows["all"].n == 3
        if how.mode == "diffusion":
            assert rows["all"].steps <= 2


def test_a_file_is_learnt_from_but_not_its_held_out_grids(tmp_path: Path) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_text(f"{HARD}\n")
    feed, _ = opened(tmp_path, file=str(path))
    prompts = {feed.draw(random.Random(n), SMALL, split="train").prompt for n in range(5)}
    assert len(prompts) == 5
    assert all(81 - prompt.count("0") == 17 for prompt in prompts)
    path.write_text("nonsense\n")
    with pytest.raises(TaskError, match="line 1"):
        opened(tmp_path, file=str(path))


def test_left_to_right_learns_by_the_causal_loss_alone(tmp_path: Path) -> None:
    feed, _ = opened(tmp_path, left_to_right=True)
    (micro,) = feed.micros(0)
    assert (micro.canvas_weight, micro.causal_weight) == (0.0, 1.0)
    assert bool(micro.batch.causal_BN.any(dim=1).all())


@pytest.mark.parametrize(
    "changes",
    [{"own_share": 2.0}, {"pool": 0}, {"stages": ()}, {"stages": (replace(SMALL, since=1),)}],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match="got"):
        Puzzles(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{"documents": 0}, {"alone": -1}, {"canvases": 0}, {"bins": {}}, {"noise": 0.5}]
)
def test_stages_that_make_no_sense_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match="got"):
        replace(SMALL, **changes)  # type: ignore[arg-type]
