"""`--adapter`: of an evaluation's run it is a part, and every command that loads a model has it."""

import json
import shutil
from pathlib import Path

import pytest
from tests.adapter.conftest import trained
from tests.cli.conftest import Run
from tests.cli.test_eval_run import cases

import canvaslm
from canvaslm.adapter.files import save_adapter
from canvaslm.checkpoint import open_checkpoint
from canvaslm.eval.asking import Asking
from canvaslm.eval.run import Plan, suite
from canvaslm.eval.trials.answer import answer
from canvaslm.eval.trials.local import Local

PLAN = Plan(task="scenes", n=2, mode="one-shot", max_tokens=32)
ASKED = ("eval", "scenes", "--n", 2, "--mode", "one-shot", "--max-tokens", 32)


def adapter_of(checkpoint: Path, folder: Path, seed: int = 0) -> Path:
    made = trained(open_checkpoint(checkpoint).config, seed=seed, size=2.0)
    return save_adapter(made, folder, overwrite=True)


@pytest.fixture
def adapter(checkpoint: Path, tmp_path: Path) -> Path:
    return adapter_of(checkpoint, tmp_path / "adapter")


def test_an_adapter_answers_and_is_compared_with_its_base(
    run: Run, checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    asked = (*ASKED, "--model", checkpoint, "--out")
    done = run(*asked, tmp_path / "bent", "--adapter", adapter)
    assert done.code == 0, done.err
    assert f"{checkpoint} model with {adapter}" in done.out.replace("\n", "")
    assert run(*asked, tmp_path / "base").code == 0
    bent = [case["answer"] for case in cases(tmp_path / "bent")]
    lm = canvaslm.load(checkpoint, adapter=adapter)
    expected = answer([suite(PLAN)], Local(lm=lm), Asking(mode="one-shot", max_tokens=32))
    assert bent == [record.answer for record in expected]
    assert bent != [case["answer"] for case in cases(tmp_path / "base")]
    settings = json.loads((tmp_path / "bent" / "run.json").read_text())
    assert settings["adapter"] == str(adapter)
    assert str(adapter) in (tmp_path / "bent" / "report.html").read_text()
    compared = run("eval", "--compare", tmp_path / "bent", tmp_path / "base", "--json")
    assert json.loads(compared.out)["tasks"]["scenes"]["n"] == 2


def test_a_run_goes_on_with_its_own_adapter_only(
    run: Run, checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    asked = (*ASKED, "--model", checkpoint, "--out", tmp_path / "run")
    mine = ("--adapter", adapter)
    assert run(*asked, *mine).code == 0
    assert run(*asked, *mine, "--resume").code == 0
    done = run(*asked, "--resume")
    assert (done.code, done.out) == (2, "")
    assert f"adapter was '{adapter}' and is None" in done.err
    copied = shutil.copytree(adapter, tmp_path / "copy")
    done = run(*asked, "--adapter", copied, "--resume")
    assert f"adapter was '{adapter}' and is '{copied}'" in done.err
    adapter_of(checkpoint, adapter, seed=1)
    done = run(*asked, *mine, "--resume")
    assert "adapter_weights was" in done.err
    assert "Give what it was started with, or name another folder" in done.err


def test_the_embedded_models_weights_are_a_part_of_the_run(run: Run, tmp_path: Path) -> None:
    asked = ("eval", "ask", "--n", 1, "--mode", "one-shot", "--out", tmp_path)
    assert run(*asked).code == 0
    settings = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(settings | {"checkpoint": "of another version"}))
    assert "checkpoint was 'of another version'" in run(*asked, "--resume").err


def test_a_server_has_adapters_of_its_own(run: Run, adapter: Path) -> None:
    asked = ("eval", "scenes", "--model", "http://127.0.0.1:9/v1#canvaslm-pocket")
    done = run(*asked, "--adapter", adapter)
    assert (done.code, done.out) == (2, "")
    assert "--adapter goes on a model that is loaded here, not on a server's" in done.err
    assert "ask for --model http://127.0.0.1:9/v1#NAME" in done.err


QUESTION = '{"question": "2 + 2?", "answer": "#### 4"}'
COMMANDS = [
    (("generate", "a"), ""),
    (("chat",), "hello"),
    (("infill",), "a <gap> b"),
    (("edit", "--span", "0:1"), "a b"),
    (("repair",), "a b"),
    (("decide", "--yes-no", "Is it?"), "a"),
    (("score",), "a square"),
    (("demo",), ""),
    (("eval", "sudoku", "--n", 1), ""),
    (("eval", "infill", "--n", 1), ""),
    (("eval", "calibration", "--n", 1), ""),
]


@pytest.mark.parametrize(("args", "stdin"), COMMANDS, ids=lambda value: " ".join(map(str, value)))
def test_every_command_with_a_model_takes_one(
    run: Run, checkpoint: Path, tmp_path: Path, args: tuple[object, ...], stdin: str
) -> None:
    done = run(*args, "--model", checkpoint, "--adapter", tmp_path, stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert "holds no adapter_config.json; expected the folder of a PEFT adapter" in done.err


def test_commands_with_a_file_take_one(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    text, questions, puzzles = (tmp_path / name for name in ("a.txt", "q.jsonl", "p.txt"))
    text.write_text("a square")
    questions.write_text(QUESTION + "\n")
    puzzles.write_text(GRID.replace("5", ".", 1) + "\n")
    for args in (
        ("eval", "likelihood", text),
        ("eval", "gsm8k", "--file", questions),
        ("eval", "sudoku", "--file", puzzles),
    ):
        done = run(*args, "--model", checkpoint, "--adapter", tmp_path)
        assert (done.code, done.out) == (2, "")
        assert "adapter_config.json" in done.err


GRID = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"


def test_an_adapter_changes_what_is_scored(run: Run, checkpoint: Path, adapter: Path) -> None:
    asked = ("score", "--json", "--model", checkpoint)
    plain, bent = (
        json.loads(run(*asked, *more, stdin="a square").out)
        for more in ((), ("--adapter", adapter))
    )
    lm = canvaslm.load(checkpoint, adapter=adapter)
    assert bent["sum"] == lm.score("a square").sum != plain["sum"]


def test_temperatures_of_an_adapter_do_not_go_beside_its_base(
    run: Run, checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    file = tmp_path / "known.jsonl"
    questions = {"q": {"type": "noyes", "instructions": "Is it?"}}
    file.write_text(json.dumps({"state": "x", "questions": questions, "answers": {"q": True}}))
    done = run("calibrate", file, "--model", checkpoint, "--adapter", adapter)
    assert (done.code, done.out) == (2, "")
    assert "choose a file with --out" in done.err
    assert not (checkpoint / "decisions.json").exists()
