"""A model's card: written from measurements that go on, and of the weights beside it."""

import json
from pathlib import Path

import pytest
import tools.card.__main__ as card
from tools.card.facts import fingerprints, training
from tools.card.measure import entry
from tools.card.tables import KINDS, share

from canvaslm.engine.create import new_checkpoint
from canvaslm.training.sudoku import GridModel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Sudoku model, and the run that it might come from."""
    pytest.importorskip("matplotlib")
    place, start = tmp_path_factory.mktemp("card"), GridModel(hidden_size=64, num_layers=3)
    files = {name: text.encode() for name, text in start.vocabulary_files(0)}
    config = start.config(start.tokenizer(place / "run", seed=0))
    settings = {"max_denoising_steps": 2, "eos_token_id": list(config.eos_ids)}
    new_checkpoint(config, place / "grids", generation=settings, extra_files=files)
    early = {"since": 0, "documents": 3, "alone": 7}
    late = {"since": 6, "documents": 10, "alone": 0}
    data = {"kind": "Puzzles", "stages": [early, late]}
    recipe = {"kind": "Recipe", "name": "sudoku", "seed": 5, "data": data}
    (place / "run" / "recipe.json").write_text(json.dumps(recipe))
    (place / "run" / "log.jsonl").write_text('{"step": 0, "seconds": 1800}\n{"step": 9.0}\n')
    return place


def measured(place: Path, n: int) -> dict[str, bytes]:
    """What a call leaves behind, by file."""
    asked = ["--kind", "sudoku", "--run", place / "run", "--n", n, "--steps", 1, 2]
    card.main([str(one) for one in (place / "grids", *asked, *where(place))])
    return {path.name: path.read_bytes() for path in (place / "grids").iterdir()}


def where(place: Path) -> tuple[object, ...]:
    return "--runs", place / "runs", "--pictures", place / "pictures"


def test_a_card_is_measured_gone_on_with_and_checked(place: Path) -> None:
    first = measured(place, 5)
    said = first["README.md"].decode()
    assert "| puzzle views | 100 |" in said
    assert "| hours | 0.5 |" in said
    answers = {path: path.read_bytes() for path in place.rglob("cases.jsonl")}
    assert measured(place, 5) == first
    assert {path: path.read_bytes() for path in place.rglob("cases.jsonl")} == answers
    card.main([str(place / "grids"), "--check"])
    drawn = json.loads((place / "pictures" / "steps-grids.json").read_text())
    assert drawn["weights"] == fingerprints(place / "grids")["weights"]
    assert [len(panel["lines"]) for panel in drawn["panels"]] == [3] * 4
    grown = json.loads(measured(place, 10)["measured.json"])
    assert grown["rows"]["as exported, clues pinned, too"]["bins"]["all"]["n"] == 10
    assert all(path.read_bytes().startswith(answers[path]) for path in answers)


def test_a_card_of_other_weights_or_settings_is_refused(place: Path) -> None:
    measured(place, 5)
    folder = place / "grids"
    for name in ("model.safetensors", "generation_config.json"):
        held = (folder / name).read_bytes()
        (folder / name).write_bytes(held + b" ")
        with pytest.raises(SystemExit, match="is of other"):
            card.main([str(folder), "--check"])
        (folder / name).write_bytes(held)
    held = (folder / "README.md").read_bytes()
    (folder / "README.md").write_bytes(held.replace(b"| puzzle views | 100 |", b"| views | 101 |"))
    with pytest.raises(SystemExit, match="out of date"):
        card.main([str(folder), "--check"])
    card.main([str(folder), "--write"])
    assert (folder / "README.md").read_bytes() == held


def test_new_weights_must_say_where_they_come_from(place: Path) -> None:
    measured(place, 5)
    file = place / "grids" / "measured.json"
    held = file.read_text()
    file.write_text(held.replace(fingerprints(place / "grids")["weights"], "0" * 16))
    with pytest.raises(SystemExit, match="name the folder of the run"):
        card.main([str(one) for one in (place / "grids", *where(place))])
    file.write_text(held)
    with pytest.raises(SystemExit, match="is no run"):
        training(place / "pictures")


def test_what_a_person_wrote_stays(place: Path) -> None:
    measured(place, 5)
    readme = place / "grids" / "README.md"
    readme.write_text(readme.read_text().replace("## Limits", "## What it cannot do"))
    assert b"## What it cannot do" in measured(place, 5)["README.md"]


def test_a_share_stands_beside_its_interval() -> None:
    assert share({"score": 0.48, "interval": (0.384, 0.577)}) == "48.0% (38–58)"


def test_a_generation_has_its_scores_whatever_was_known_of_it() -> None:
    reports = [{"task": "ask", "mode": "diffusion", "score": 0.5, "n": 9}]
    assert entry("w", "c", {"reports": reports}, {})["scores"] == {"ask": 0.5}
    assert entry("w", None, {}, {"steps": 3})["scores"] == {}


def test_the_shipped_cards_are_of_the_shipped_weights() -> None:
    card.main(["--check"])


def test_every_kind_has_what_all_cards_have() -> None:
    assert all(
        {"model", "training", "generations", "reproduce"} <= set(of) for of in KINDS.values()
    )
