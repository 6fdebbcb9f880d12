"""`canvaslm train plan`."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.test_train import RECIPE

LORA = ("--lora", 2, "--target", "attention.q", "--quant", "int8")


def test_a_preset_is_planned(run: Run) -> None:
    done = run("train", "plan", "pocket", "--optimiser", "muon", "--card", 1, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    kept, again = found["plans"]["kept"], found["plans"]["computed again"]
    assert again["total"] < kept["total"] == sum(kept["parts"].values())
    assert kept["fits"] is (kept["total"] <= found["room"] == 10**9)
    assert kept["parts"]["adapter"] == 0
    shown = run("train", "plan", "pocket", "--optimiser", "muon", "--card", 1)
    assert f"{kept['total'] / 1e9:.2f}" in shown.out
    assert "left of 1.0 " in shown.out


def test_a_recipe_is_planned(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE.format(base=str(checkpoint), data="none.jsonl"))
    done = run("train", "plan", recipe, *LORA, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["sizes"] == {"documents": 2, "prompt": 256, "canvas": 8, "noises": 1}
    assert found["plans"]["kept"]["parts"]["gradients"] == 4 * found["numbers"]


@pytest.mark.parametrize("name", ["sudoku", "fewer"])
def test_a_recipe_with_a_name_is_planned(run: Run, name: str) -> None:
    done = run("train", "plan", name, "--card", 8)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{name}: float32; all weights")
    assert "computed again" in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("pocket", "--quant", "int8"), "--quant would have no effect"),
        (("pocket", "--prompt", 0), "--prompt must be at least 1"),
        (("pocket", "--lora", 2, "--target", "attention.x"), "attention.x"),
        (("none.py",), "none.py is not there"),
        (("pocket", "--card", -5), "--card is a size in gigabytes, more than 0, got -5"),
        (("pocket", "--dtype", "bfloat16"), "leave --dtype out"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    run: Run, options: tuple[object, ...], said: str
) -> None:
    done = run("train", "plan", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
