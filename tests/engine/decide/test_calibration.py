"""The file of temperatures."""

import json
from pathlib import Path

import pytest

from canvaslm.engine.decide.calibration import Calibration, soften
from canvaslm.errors import ConfigError, ParameterError, StorageError

GIVEN = Calibration(temperatures={"denoise": {"pick": 1.5, "yes_no": 2.0}})


def test_it_is_written_and_read_in_a_folder_or_a_file(tmp_path: Path) -> None:
    assert GIVEN.write(tmp_path) == tmp_path / "decisions.json"
    assert Calibration.read(tmp_path) == GIVEN
    assert Calibration.read(GIVEN.write(tmp_path / "other.json")) == GIVEN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decisions.json", "other.json"]


def test_a_folder_without_one_has_fitted_none(tmp_path: Path) -> None:
    assert Calibration.read(tmp_path).temperature("denoise", "pick") == 1.0


def test_one_method_is_replaced_without_the_other() -> None:
    both = GIVEN.replace("causal", {"pick": 3.0})
    assert both.temperature("causal", "pick") == 3.0
    assert both.temperature("denoise", "pick") == 1.5
    assert both.temperature("causal", "rate") == 1.0


def test_where_nothing_may_be_written_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="--out"):
        GIVEN.write(tmp_path / "no" / "where.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "folder.json" / "decisions.json").mkdir()
    with pytest.raises(StorageError):
        GIVEN.write(tmp_path / "folder.json")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]
    assert len(list((tmp_path / "folder.json").iterdir())) == 1


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"temperatures": 3}',
        '{"temperatures": {"denoise": 3}}',
        '{"temperatures": {"guess": {"pick": 1}}}',
        '{"temperatures": {"denoise": {"poem": 1}}}',
        '{"temperatures": {"denoise": {"pick": 0}}}',
        '{"temperatures": {"denoise": {"pick": "1"}}}',
        '{"temperatures": {"denoise": {"pick": NaN}}}',
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "decisions.json").write_text(text)
    with pytest.raises(ConfigError, match=r"decisions\.json"):
        Calibration.read(tmp_path)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Calibration.read(tmp_path / "missing.json")


def test_what_it_was_fitted_on_is_kept_for_people(tmp_path: Path) -> None:
    GIVEN.write(tmp_path, fitted={"answers": 7})
    assert json.loads((tmp_path / "decisions.json").read_text())["fitted"] == {"answers": 7}


def test_softening_keeps_the_order_and_flattens() -> None:
    sharp, soft = soften([-0.1, -3.0, -5.0], 1.0), soften([-0.1, -3.0, -5.0], 3.0)
    assert sharp[0] > soft[0] > soft[1] > soft[2] > sharp[2]
    assert sum(soft) == pytest.approx(1)


def test_a_temperature_below_zero_is_refused() -> None:
    with pytest.raises(ParameterError, match="positive"):
        Calibration(temperatures={"causal": {"rate": -1.0}})
