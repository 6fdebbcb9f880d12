"""What `import canvaslm` offers, and what it does not do."""

import subprocess
import sys

import canvaslm


def test_every_public_name_is_there() -> None:
    for name in canvaslm.__all__:
        assert getattr(canvaslm, name) is not None
    assert set(canvaslm.__all__) <= set(dir(canvaslm))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(canvaslm, "generate_everything")


def test_importing_brings_no_torch() -> None:
    code = "import sys, canvaslm; print('torch' in sys.modules, canvaslm.CanvasError.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "CanvasError"]
