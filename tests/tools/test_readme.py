"""The generated parts of the documents."""

import pytest
from tools.readme import modules, modules_tree, packages, rewrite, tree

TEXT = "before\n<!-- a -->\nold\n<!-- /a -->\nafter\n"


def test_only_the_part_is_rewritten() -> None:
    assert rewrite(TEXT, "a", r"new \1") == TEXT.replace("old", r"new \1")


def test_rewriting_again_changes_nothing() -> None:
    once = rewrite(TEXT, "a", "new")
    assert rewrite(once, "a", "new") == once


@pytest.mark.parametrize("text", ["no part", TEXT * 2])
def test_a_part_stands_there_exactly_once(text: str) -> None:
    with pytest.raises(SystemExit, match="<!-- a -->"):
        rewrite(text, "a", "new")


def test_no_folder_and_no_module_is_left_out() -> None:
    at_a_glance, in_full = tree(), modules_tree()
    for folder in packages():
        assert f"{folder.name}/" in at_a_glance
        for module in modules(folder):
            assert f"{module.name} " in in_full
