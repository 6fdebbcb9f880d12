"""`canvaslm bench`."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

from canvaslm.measure.report import STEPS_PER_CANVAS

QUICK = ("--quick", "--json", "--threads", 1, "--repeat", 2)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from canvaslm.engine.create import new_checkpoint
    from canvaslm.model.presets import preset, reduced

    config = reduced(preset("pocket"), layers=2)
    return new_checkpoint(config, tmp_path_factory.mktemp("bench") / "small", quant="int4")


def measured(run: Run, *args: object) -> dict[str, Any]:
    done = run("bench", *args, *QUICK)
    assert done.code == 0, done.err
    document: dict[str, Any] = json.loads(done.out)
    assert document["peak_memory_bytes"] > 0
    assert min(v for k, v in document["peaks"].items() if k.endswith("per_second")) > 0
    return document


def test_a_step_is_measured_beside_its_ceiling(run: Run, small: Path) -> None:
    found = measured(run, "step", small, "--prefix", 40, "--canvas", 32, "--batch", 2)
    seconds = found["seconds_per_step"]
    assert 0 < seconds["least"] <= seconds["median"] <= seconds["most"]
    assert seconds["count"] == 2
    assert found["weights"]["experts"] == "int4"
    assert found["parts"]["experts"]["of_ceiling"] > 0
    assert sum(part["share"] for part in found["parts"].values()) == pytest.approx(1, abs=0.05)
    implied = found["implied"]["tokens_per_second"]
    whole = STEPS_PER_CANVAS * seconds["median"] + found["seconds_per_commit"]
    assert implied == pytest.approx(2 * 32 / whole)


@pytest.mark.parametrize("what", ["prefill", "commit", "token"])
def test_every_pass_says_its_tokens_per_second(run: Run, small: Path, what: str) -> None:
    found = measured(run, what, small, "--prefix", 20)
    assert found["tokens_per_second"] > 0
    assert "vocabulary head" in found["parts"] or what != "token"


def test_a_long_prefix_is_made_of_random_numbers_and_says_so(run: Run, small: Path) -> None:
    found = measured(run, "step", small, "--prefix", 2100, "--canvas", 16)
    assert found["prefix_made_of"] == "random K/V"
    found = measured(run, "step", small, "--prefix", 20, "--canvas", 16)
    assert found["prefix_made_of"] == "random ids, encoded"


@pytest.mark.parametrize("mode", ["diffusion", "ar"])
def test_whole_answers_are_measured_in_both_modes(run: Run, small: Path, mode: str) -> None:
    steps = ("--max-steps", 2) if mode == "diffusion" else ()
    options = ("--prefix", 5, "--max-tokens", 4, "--mode", mode, *steps)
    found = measured(run, "generate", small, *options)
    assert found["mode"] == mode
    assert found["tokens_per_second"]["median"] > 0


def test_an_unquantised_model_is_measured_too(run: Run, checkpoint: Path) -> None:
    found = measured(run, "step", checkpoint, "--prefix", 10)
    assert found["canvas"] == 128
    assert found["weights"]["experts"] in ("float32", "bfloat16")


def test_without_json_tables_are_written(run: Run, small: Path) -> None:
    done = run("bench", "step", small, "--prefix", 5, "--canvas", 16, "--quick", "--repeat", 1)
    assert done.code == 0
    assert "experts" in done.out
    assert "GB/s" in done.out


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("prefill", "--canvas", 5), "--canvas would have no effect"),
        (("token", "--mode", "ar"), "--mode would have no effect"),
        (("generate", "--batch", 2), "--batch would have no effect"),
        (("generate", "--mode", "ar", "--max-steps", 3), "--max-steps"),
        (("step", "--prefix", 9000), "context"),
    ],
)
def test_an_option_without_effect_is_refused(
    run: Run, small: Path, args: tuple[object, ...], reason: str
) -> None:
    what, *others = args
    done = run("bench", what, small, *others, "--quick")
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
