"""`canvaslm train`."""

from pathlib import Path

import pytest
from tests.cli.conftest import Run

import canvaslm
from canvaslm.cli.train_run import gain_of, slowness


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--resume",), "resume"),
        (("--size", 33), "33"),
        (("--steps", 0), "0"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_a_run_that_cannot_start_is_refused(
    run: Run, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    done = run("train", "pocket", "--out", tmp_path / "run", *options)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err


def test_a_damaged_run_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"not tensors at all")
    done = run("train", "pocket", "--out", tmp_path, "--resume")
    assert (done.code, done.out) == (2, "")
    assert "no training state" in done.err


RECIPE = """
from canvaslm.training.data.documents import Documents
from canvaslm.training.data.sources import Pairs
from canvaslm.training.optimise.choose import AdamW
from canvaslm.training.recipe import Recipe
from canvaslm.training.start import Base

recipe = Recipe(
    name="mine",
    steps=2,
    start=Base({base!r}),
    data=Documents(sources=(Pairs(path={data!r}),), documents=2, canvas_length=8),
    optimise=AdamW(lr=1e-3),
)
"""


def test_a_recipe_of_ones_own_trains_a_checkpoint(
    run: Run, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("canvaslm.training.way.can_compile", lambda: False)  # it takes a minute
    data, recipe, out = tmp_path / "data.jsonl", tmp_path / "mine.py", tmp_path / "run"
    data.write_text('{"prompt": "a square", "answer": "and a circle"}\n')
    recipe.write_text(RECIPE.format(base="nowhere", data=str(data)))
    done = run("train", recipe, "--out", out, "--model", checkpoint)
    assert (done.code, done.out) == (0, f"{out / 'model'}\n")
    assert len((out / "log.jsonl").read_text().splitlines()) == 2
    more = run("train", recipe, "--out", out, "--model", checkpoint, "--resume", "--steps", 3)
    assert more.code == 0
    assert len((out / "log.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("gain", [0.02, 0.49, 0.5, 1.9])
def test_bfloat16_that_costs_time_is_warned_of(gain: float) -> None:
    said = slowness(gain)
    assert (said is None) is (gain >= 0.5)
    assert gain != 0.02 or "take 50 times as long as in float32" in str(said)


@pytest.mark.parametrize("option", [(), ("--bfloat16",)])
def test_a_run_says_whether_bfloat16_costs_time(
    run: Run,
    tmp_path: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: tuple[str, ...],
) -> None:
    monkeypatch.setattr("canvaslm.training.way.can_compile", lambda: False)
    data, recipe = tmp_path / "data.jsonl", tmp_path / "mine.py"
    data.write_text('{"prompt": "a square", "answer": "and a circle"}\n')
    recipe.write_text(RECIPE.format(base=str(checkpoint), data=str(data)))
    done = run("train", recipe, "--out", tmp_path / "run", *option)
    assert done.code == 0
    gain = gain_of("cpu")  # measured once more, so nothing is said of what lies near the limit
    if not 0.35 < gain < 0.7:
        assert ("as long as in float32" in done.err) is (bool(option) and gain < 0.5)


@pytest.mark.parametrize("quant", [(), ("--quant", "int8")])
def test_an_adapter_is_trained_merged_and_answers(
    run: Run, tmp_path: Path, checkpoint: Path, quant: tuple[str, ...]
) -> None:
    data, recipe, out = tmp_path / "data.jsonl", tmp_path / "mine.py", tmp_path / "run"
    data.write_text('{"prompt": "a square", "answer": "and a circle"}\n')
    recipe.write_text(RECIPE.format(base=str(checkpoint), data=str(data)))
    lora = ("--lora", 2, "--alpha", 3, "--target", "attention.q", "--target", "mlp.up", *quant)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("canvaslm.training.way.can_compile", lambda: False)
        done = run("train", recipe, "--out", out, *lora)
        assert (done.code, done.out) == (0, f"{out / 'model'}\n"), done.err
        assert run("train", recipe, "--out", out, *lora, "--resume", "--steps", 3).code == 0
    adapter = canvaslm.read_adapter(out / "model")
    assert (adapter.config.rank, adapter.config.alpha, adapter.base) == (2, 3, str(checkpoint))
    assert adapter.config.targets == ("attention.q", "mlp.up")
    assert run("merge", checkpoint, out / "model", tmp_path / "merged").code == 0
    asked = ("generate", "a", "--max-tokens", 4, "--max-steps", 2, "--seed", 1)
    answer = run(*asked, "--model", checkpoint, "--adapter", out / "model")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--alpha", 3), "--alpha would have no effect: add --lora"),
        (("--quant", "int8"), "--quant would have no effect"),
        (("--lora", 0), "rank"),
        (("--lora", 2, "--target", "attention.x"), "attention.x"),
    ],
)
def test_an_adapter_that_cannot_be_is_refused(
    run: Run, tmp_path: Path, checkpoint: Path, options: tuple[object, ...], said: str
) -> None:
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE.format(base=str(checkpoint), data="none.jsonl"))
    done = run("train", recipe, "--out", tmp_path / "run", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_an_adapter_of_a_new_model_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("train", "pocket", "--out", tmp_path / "run", "--lora", 4)
    assert (done.code, done.out) == (2, "")
    assert "--model" in done.err


def test_bad_data_is_refused_by_file_and_line(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    data, recipe = tmp_path / "data.jsonl", tmp_path / "mine.py"
    data.write_text('{"prompt": "a", "answer": "b"}\n' * 2 + '{"prompt": \n')
    recipe.write_text(RECIPE.format(base=str(checkpoint), data=str(data)))
    done = run("train", recipe, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2, "")
    assert "data.jsonl, line 3: not JSON" in done.err


def test_a_recipe_that_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    done = run("train", tmp_path / "none.py")
    assert done.code == 2
    assert "none.py is not there" in done.err
