"""A recipe of the user's own: a Python file that defines `recipe`."""

from __future__ import annotations

import runpy
import traceback
from pathlib import Path

from canvaslm.errors import CanvasError, TrainingError
from canvaslm.training.recipe import Recipe


def read_recipe(path: Path) -> Recipe:
    """Run the file, and take what it calls `recipe`.

    Raises TrainingError if it is not there, fails or defines none; what the package itself says
    about a bad setting passes.
    """
    if not path.is_file():
        raise TrainingError(f"{path} is not there: give a recipe's name or a Python file")
    try:
        names = runpy.run_path(str(path))
    except CanvasError:
        raise
    except Exception as error:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
        ]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise TrainingError(f"{where}: {type(error).__name__}: {error}") from error
    recipe = names.get("recipe")
    if not isinstance(recipe, Recipe):
        found = "nothing" if recipe is None else f"a {type(recipe).__name__}"
        raise TrainingError(
            f"{path} defines {found} as `recipe`, expected a canvaslm.training.recipe.Recipe"
        )
    return recipe
