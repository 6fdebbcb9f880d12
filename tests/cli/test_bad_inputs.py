"""Bad inputs of a training run, on the command line: the reason, what to do, and nothing broken."""

import json
import random
import resource
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tests.adapter.conftest import trained
from tests.cli.conftest import Run
from tests.cli.test_train import RECIPE

from canvaslm.adapter.files import save_adapter
from canvaslm.checkpoint import open_checkpoint
from canvaslm.training.state import STATE, load_state, save_state
from canvaslm.training.vocabulary import train_tokenizer

GOOD = json.dumps({"prompt": "a square", "answer": "and a circle"})


@pytest.fixture(autouse=True)
def _not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("canvaslm.training.way.can_compile", lambda: False)  # it takes a minute


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "data.jsonl"
    file.write_text(f"{GOOD}\n")
    return file


@pytest.fixture
def recipe(tmp_path: Path, checkpoint: Path, data: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(RECIPE.format(base=str(checkpoint), data=str(data)))
    return file


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """The disk ends after so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (f"{GOOD}\n{GOOD}\n{GOOD[:-2]}\n", "data.jsonl, line 3: not JSON"),
        (f"{GOOD}\n\n[1, 2]\n", "data.jsonl, line 3: expected a JSON object, got list"),
        ("", "data.jsonl is empty: expected one JSON object a line"),
        ("\n  \n", "data.jsonl is empty: expected one JSON object a line"),
        (
            f"{GOOD}\n{GOOD}\n" + json.dumps({"prompt": "a", "answer": "a square " * 200}),
            "data.jsonl, line 3: the answer takes",
        ),
        (json.dumps({"prompt": "a square " * 600, "answer": "a"}), "shorten the prompt"),
        (json.dumps({"prompt": "a", "answer": " "}), "line 1: the answer is empty"),
    ],
)
def test_data_that_cannot_be_learnt_is_refused_before_the_first_step(
    run: Run, tmp_path: Path, data: Path, recipe: Path, lines: str, said: str
) -> None:
    data.write_text(lines)
    done = run("train", recipe, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_an_answer_longer_than_its_canvases_is_told_what_it_takes(
    run: Run, tmp_path: Path, data: Path, recipe: Path
) -> None:
    data.write_text(json.dumps({"prompt": "a", "answer": "a square " * 200}))
    done = run("train", recipe, "--out", tmp_path / "run")
    assert "canvases of 8 tokens, allowed are 16: shorten it, or raise `canvases`" in done.err


def test_an_adapter_of_another_shape_is_refused(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    config = open_checkpoint(checkpoint).config
    other = trained(type(config)(**{**vars(config), "hidden_size": 24}))
    folder = save_adapter(other, tmp_path / "adapter")
    for args in (
        ("generate", "a", "--model", checkpoint, "--adapter", folder),
        ("eval", "scenes", "--n", 1, "--model", checkpoint, "--adapter", folder),
        ("merge", checkpoint, folder, tmp_path / "merged"),
    ):
        done = run(*args)
        assert (done.code, done.out) == (2, "")
        assert "the adapter is for another base: layers.0." in done.err
        assert "load the checkpoint that it was trained on" in done.err
    assert not (tmp_path / "merged").exists()


def test_an_adapter_of_other_weights_of_the_same_shape_is_warned_about(
    run: Run, checkpoint: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert run("train", recipe, "--out", out, "--lora", 2, "--target", "attention.q").code == 0
    other, named = tmp_path / checkpoint.name, tmp_path / "renamed"
    trained_on = run("train", recipe, "--out", tmp_path / "whole")
    assert trained_on.code == 0, trained_on.err
    shutil.copytree(tmp_path / "whole" / "model", other)
    shutil.copytree(checkpoint, named)
    asked = ("generate", "a", "--max-tokens", 2, "--max-steps", 1, "--adapter", out / "model")
    said = f"canvaslm: warning: the adapter was trained on {checkpoint}, and the weights in {other}"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for folder in (checkpoint, named):  # the same weights, whatever their name
            done = run(*asked, "--model", folder)
            assert (done.code, done.err) == (0, "")
        done = run(*asked, "--model", other)
        assert done.code == 0
        assert done.err.startswith(said)
        merged = run("merge", other, out / "model", tmp_path / "merged")
        assert merged.code == 0
        assert merged.err.startswith(said)


def test_another_name_of_the_base_is_warned_about_where_nothing_else_is_known(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(checkpoint, tmp_path / "elsewhere")
    folder = save_adapter(trained(open_checkpoint(checkpoint).config), tmp_path / "adapter")
    asked = ("generate", "a", "--max-tokens", 2, "--max-steps", 1, "--adapter", folder)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = run(*asked, "--model", other)
        assert run(*asked, "--model", checkpoint).err == ""
    assert done.code == 0
    assert (
        f"warning: the adapter says that it was trained on 'owner/tiny', and this is {other}"
        in (done.err)
    )


@pytest.fixture
def other_words(checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint with the tokenizer of a larger model."""
    folder = Path(shutil.copytree(checkpoint, tmp_path / "mixed"))
    letters = random.Random(0)
    words = ["".join(letters.choices("abcdefghij", k=6)) for _ in range(2000)]
    (folder / "tokenizer.json").write_text(train_tokenizer(words * 2, vocab_size=900).to_str())
    return folder


def test_a_tokenizer_of_another_model_is_refused(
    run: Run, tmp_path: Path, recipe: Path, other_words: Path
) -> None:
    said = f"the tokenizer of {other_words} has 900 tokens, the network 300"
    for args in (
        ("train", recipe, "--model", other_words, "--out", tmp_path / "run"),
        ("generate", "a", "--model", other_words),
        ("eval", "scenes", "--n", 1, "--model", other_words),
    ):
        done = run(*args)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert "they belong to different models" in done.err


def test_a_run_on_a_full_disk_ends_with_its_last_state_and_goes_on(
    run: Run, tmp_path: Path, recipe: Path
) -> None:
    out = tmp_path / "run"
    assert run("train", recipe, "--out", out, "--steps", 2).code == 0
    before = (out / STATE).read_bytes()
    asked = ("train", recipe, "--out", out, "--steps", 4, "--resume")
    with room_for(len(before) // 2):
        done = run(*asked)
    assert (done.code, done.out) == (2, "")
    assert f"cannot save the training state to {out / STATE}" in done.err
    assert "free some space and run again with --resume" in done.err
    assert (out / STATE).read_bytes() == before
    assert not list(out.glob("*.new"))
    assert run(*asked).code == 0
    assert load_state(out)[1] == 4


def test_a_merge_on_a_full_disk_leaves_nothing(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    adapter = save_adapter(trained(open_checkpoint(checkpoint).config), tmp_path / "adapter")
    with room_for(4096):
        done = run("merge", checkpoint, adapter, tmp_path / "merged")
    assert (done.code, done.out) == (2, "")
    assert "could not be written" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_an_evaluation_on_a_full_disk_keeps_whole_cases(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    asked = ("eval", "scenes", "--n", 4, "--mode", "one-shot", "--model", checkpoint)
    out = ("--out", tmp_path / "run")
    with room_for(2000):
        done = run(*asked, *out)
    assert (done.code, done.out) == (2, "")
    assert "cases.jsonl cannot be written: File too large" in done.err
    kept = (tmp_path / "run" / "cases.jsonl").read_text().splitlines()
    assert all(json.loads(line)["task"] == "scenes" for line in kept)
    assert run(*asked, *out, "--resume").code == 0
    assert (tmp_path / "run" / "cases.jsonl").read_text().splitlines()[: len(kept)] == kept


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("cut", "is no training state"),
        ("text", "is no training state"),
        ("foreign", "the saved state is of another model"),
        ("shapes", "the saved state is of another model"),
        ("optimiser", "it has nothing of optimiser 0"),
    ],
)
def test_a_state_that_is_not_this_runs_is_refused_and_stays(
    run: Run, tmp_path: Path, recipe: Path, damage: str, said: str
) -> None:
    out = tmp_path / "run"
    assert run("train", recipe, "--out", out).code == 0
    tensors, step = load_state(out)
    if damage == "foreign":
        save_state(out, {"x": torch.ones(3)}, step)
    elif damage == "shapes":  # one that would be stretched to fit
        name = next(
            name for name, t in tensors.items() if name.startswith("model.") and t.dim() > 1
        )
        save_state(out, tensors | {name: tensors[name][:1].clone()}, step)
    elif damage == "optimiser":
        kept = {n: t for n, t in tensors.items() if not n.startswith("optimiser.")}
        save_state(out, kept, step)
    else:
        whole = (out / STATE).read_bytes()
        (out / STATE).write_bytes(whole[:-99] if damage == "cut" else b"not tensors at all")
    before = (out / STATE).read_bytes()
    done = run("train", recipe, "--out", out, "--resume", "--steps", 3)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert (out / STATE).read_bytes() == before
