"""safetensors files: what is sound is read as it is, what is damaged is refused before use."""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from canvaslm.checkpoint.safetensors import SafetensorsFile, StoredTensor, encode_header
from canvaslm.errors import CorruptFileError, OutOfMemoryError

CPU = torch.device("cpu")
TENSORS = {
    "a": torch.arange(12, dtype=torch.bfloat16).view(3, 4),
    "b": torch.linspace(0, 1, 5, dtype=torch.float32),
    "c": torch.tensor([], dtype=torch.float16),
    "d": torch.tensor([7], dtype=torch.int64),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "file.safetensors", metadata={"format": "pt", "by": "hand"})
    return tmp_path / "file.safetensors"


def raw_file(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_the_librarys_files_are_read(path: Path) -> None:
    file = SafetensorsFile(path)
    assert file.metadata == {"format": "pt", "by": "hand"}
    for name, tensor in TENSORS.items():
        assert torch.equal(file.tensors[name].load(dtype=tensor.dtype, device=CPU), tensor)


def test_our_files_are_read_by_the_library(tmp_path: Path) -> None:
    header = encode_header({n: (t.dtype, tuple(t.shape)) for n, t in TENSORS.items()}, {"k": "v"})
    data = b"".join(t.view(torch.uint8).numpy().tobytes() for t in TENSORS.values())
    (tmp_path / "ours.safetensors").write_bytes(header + data)
    loaded = load_file(tmp_path / "ours.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in TENSORS.items())


def test_the_same_type_on_the_cpu_is_a_view_of_the_file(path: Path) -> None:
    file = SafetensorsFile(path)
    stored = file.tensors["a"]
    loaded = stored.load(dtype=torch.bfloat16, device=CPU)
    assert loaded.data_ptr() == file.mapped.data_ptr() + stored.start
    loaded.zero_()  # private to this process
    assert torch.equal(load_file(path)["a"], TENSORS["a"])


def test_another_type_is_converted(path: Path) -> None:
    loaded = SafetensorsFile(path).tensors["a"].load(dtype=torch.float64, device=CPU)
    assert torch.equal(loaded, TENSORS["a"].double())


def test_unaligned_tensors_are_read_all_the_same(tmp_path: Path) -> None:
    header = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    text += b" " * ((1 - len(text)) % 4)
    path = raw_file(tmp_path / "odd", text, struct.pack("<ff", 1.5, -2.0))
    stored = SafetensorsFile(path).tensors["x"]
    assert stored.start % 4
    assert stored.load(dtype=torch.float32, device=CPU).tolist() == [1.5, -2.0]


@given(st.data())
def test_a_truncated_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    save_file(TENSORS, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CorruptFileError, match=r"cut\.safetensors"):
        SafetensorsFile(path)


@given(st.data())
def test_a_damaged_header_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "bent.safetensors"
    save_file(TENSORS, path)
    whole = bytearray(path.read_bytes())
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    whole[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    try:
        file = SafetensorsFile(path)
    except CorruptFileError:
        return
    assert all(t.start + t.size <= len(whole) for t in file.tensors.values())


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"{not json", "not JSON"),
        ([1], "not a table"),
        ({"x": "y"}, "malformed"),
        ({"__metadata__": [1]}, "malformed"),
        ({"x": F32 | {"dtype": "F7"}}, "unknown type 'F7'"),
        ({"x": F32 | {"shape": [-2]}}, "shape"),
        ({"x": F32 | {"shape": [3]}}, "takes 8 bytes"),
        ({"x": F32 | {"data_offsets": [-8, 0]}}, "bytes"),
        ({"x": F32, "y": F32}, "overlaps"),
        ({"x": F32 | {"data_offsets": [4, 12]}}, "leaves a gap"),
        ({"x": F32 | {"shape": [4], "data_offsets": [0, 16]}}, "truncated"),
        ({}, "follow its last tensor"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: object, reason: str) -> None:
    with pytest.raises(CorruptFileError, match=reason):
        SafetensorsFile(raw_file(tmp_path / "file", header, bytes(8)))


def test_a_git_lfs_pointer_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CorruptFileError, match="git lfs pull"):
        SafetensorsFile(tmp_path / "file")


def test_a_file_that_shrinks_after_opening_is_noticed(path: Path) -> None:
    stored = SafetensorsFile(path).tensors["a"]
    path.write_bytes(path.read_bytes()[: stored.start + 3])
    with pytest.raises(CorruptFileError, match="tensor a"):
        stored.load(dtype=torch.float32, device=CPU)


def test_a_tensor_that_no_memory_holds_is_refused(path: Path) -> None:
    file, count = SafetensorsFile(path), 1 << 50
    giant = StoredTensor(file, "giant", torch.bfloat16, (count,), 0, 2 * count)
    with pytest.raises(OutOfMemoryError, match=r"giant takes 4503599\.63 GB as torch\.float32"):
        giant.load(dtype=torch.float32, device=CPU)


def test_copies_are_compared_bit_for_bit(tmp_path: Path) -> None:
    x = torch.randn(3, 2)
    save_file(
        {"x": x, "same": x.clone(), "other": x + 1, "flat": x.view(-1).clone()}, tmp_path / "f"
    )
    tensors = SafetensorsFile(tmp_path / "f").tensors
    assert tensors["x"].same_bytes(tensors["same"])
    assert not tensors["x"].same_bytes(tensors["other"])
    assert not tensors["x"].same_bytes(tensors["flat"])
