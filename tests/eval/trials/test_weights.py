"""The fingerprint of a checkpoint."""

import shutil
from pathlib import Path

from canvaslm.eval.trials.weights import fingerprint


def test_a_copy_has_the_same_and_other_weights_have_another(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    (one / "config.json").write_text("{}")
    (one / "model.safetensors").write_bytes(bytes(1 << 18))
    before = fingerprint(one)
    shutil.copytree(one, tmp_path / "two")
    (tmp_path / "two" / "notes.txt").write_text("not a part of it")
    assert fingerprint(tmp_path / "two") == before
    (one / "model.safetensors").write_bytes(bytes((1 << 18) - 1) + b"x")
    assert fingerprint(one) != before
    assert fingerprint(one / "model.safetensors") == fingerprint(one / "model.safetensors")
