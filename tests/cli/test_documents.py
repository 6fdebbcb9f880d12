"""Documents of the command line: places in them, and writing them whole."""

import stat
from pathlib import Path

import pytest

from canvaslm.cli.documents import pair, place_at, read, span_of_lines, write
from canvaslm.errors import ParameterError, StorageError

TEXT = "ab\r\ncd\n\nef"


@pytest.mark.parametrize(
    ("line", "column", "place"), [(1, 1, 0), (1, 3, 2), (2, 2, 5), (3, 1, 7), (4, 3, 10)]
)
def test_lines_and_columns_count_from_one(line: int, column: int, place: int) -> None:
    assert place_at(TEXT, line, column) == place


def test_the_end_of_a_file_has_a_place() -> None:
    assert place_at("", 1, 1) == 0
    assert place_at("a\n", 2, 1) == 2


@pytest.mark.parametrize(("line", "column"), [(0, 1), (5, 1), (1, 0), (1, 4), (3, 2)])
def test_a_place_outside_is_refused(line: int, column: int) -> None:
    with pytest.raises(ParameterError, match=f"--at {line}:{column}"):
        place_at(TEXT, line, column)


def test_a_span_of_lines_leaves_the_last_line_end() -> None:
    assert span_of_lines(TEXT, 1, 2) == (0, 6)
    assert span_of_lines(TEXT, 4, 4) == (8, 10)
    for first, last in ((0, 1), (2, 1), (1, 5)):
        with pytest.raises(ParameterError, match="--lines"):
            span_of_lines(TEXT, first, last)


def test_pairs_are_two_numbers() -> None:
    assert pair("--at", "3:14") == (3, 14)
    for value in ("3", "3:", "a:b", "1:2:3", "-1:2"):
        with pytest.raises(ParameterError, match="--at takes two numbers"):
            pair("--at", value)


def test_a_file_is_read_and_written_to_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes("ä\r\nb".encode())
    file.chmod(0o640)
    text = read(file, write=True)
    write(file, text + "!")
    assert file.read_bytes() == "ä\r\nb!".encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_read_or_written_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "b"
    binary.write_bytes(b"\xff\x00")
    with pytest.raises(ParameterError, match="not text in UTF-8"):
        read(binary, write=False)
    with pytest.raises(ParameterError, match="cannot be read"):
        read(tmp_path / "none", write=False)
    with pytest.raises(ParameterError, match="--write needs a FILE"):
        read(None, write=True)
    with pytest.raises(StorageError, match="cannot be written"):
        write(tmp_path / "no" / "folder", "x")
