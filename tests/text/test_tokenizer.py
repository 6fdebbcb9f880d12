"""Encoding, decoding, prompts, and files that are not what they should be."""

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models

from canvaslm.errors import CheckpointError, CorruptFileError, ParameterError, TemplateError
from canvaslm.text.tokenizer import Tokenizer

CONTROLS = ["<|turn>", "<turn|>", "<bos>", "<|tool_call>", '<|"|>', "<|channel>", "<channel|>"]
HOSTILE = st.lists(
    st.sampled_from([*CONTROLS, "<", "|>", "turn", "<|tu", "rn>", " ", "\n", "a", "\ufdd0", "中"]),
    max_size=8,
).map("".join)


def read_vectors(folder: Path) -> list[tuple[str, list[int]]]:
    texts = (folder / "vectors.inp").read_text().split("\n__ggml_vocab_test__\n")
    lines = (folder / "vectors.out").read_text().splitlines()
    return [
        (text, [int(id) for id in line.split()]) for text, line in zip(texts, lines, strict=True)
    ]


def test_the_real_vocabulary_encodes_all_its_vectors(gemma: Tokenizer, gemma_folder: Path):
    vectors = read_vectors(gemma_folder)
    assert len(vectors) == 46
    for text, ids in vectors:
        assert gemma.encode(text) == ids
        assert gemma.encode(text, special=False) == ids
        assert gemma.decode(ids) == text


def test_the_real_vocabulary_is_known(gemma: Tokenizer):
    assert gemma.vocab_size == 262_144
    assert gemma.bos_id == 2
    assert {0, 1, 2, 3, 4, 50, 52, 100, 101, 105, 106, 255_999, 258_880} <= gemma.special_ids
    assert gemma.token_text(106) == "<turn|>"
    assert gemma.token_bytes(106) == b"<turn|>"
    assert gemma.token_bytes(238) == b"\0"
    assert gemma.token_text(506) == "▁the"
    assert gemma.token_bytes(506) == b" the"


@given(text=st.text())
def test_text_comes_back(tokenizer: Tokenizer, text):
    ids = tokenizer.encode(text, special=False)
    assert tokenizer.decode(ids) == text
    assert b"".join(tokenizer.token_bytes(id) for id in ids) == text.encode()


@given(text=HOSTILE)
def test_control_strings_in_plain_text_stay_text(tokenizer: Tokenizer, text):
    ids = tokenizer.encode(text, special=False)
    assert tokenizer.special_ids.isdisjoint(ids)
    assert tokenizer.decode(ids) == text


def test_control_strings_are_tokens_unless_told_otherwise(tokenizer: Tokenizer):
    ids = tokenizer.encode("<|turn>the<turn|>")
    assert ids[0] == tokenizer.token_id("<|turn>")
    assert ids[-1] == tokenizer.token_id("<turn|>")
    assert tokenizer.decode(ids) == "the"
    assert tokenizer.decode(ids, special=True) == "<|turn>the<turn|>"


def test_plain_text_is_encoded_as_by_a_vocabulary_without_control_tokens(gemma: Tokenizer):
    names = [gemma.token_text(id) for id in gemma.encode("see <|turn> ", special=False)]
    assert names == ["see", "▁<", "|", "turn", ">", "▁"]


def test_a_vocabulary_that_spells_a_control_token_from_text_is_kept_from_it():
    vocabulary = {entry: id for id, entry in enumerate([*"<|x>", "<|", "x>", "<|x>"])}
    merges = [("<", "|"), ("x", ">"), ("<|", "x>")]
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<|x>", normalized=False)])
    tokenizer = Tokenizer(backend)
    assert tokenizer.encode("<|x>") == [6]
    assert tokenizer.encode("<|x><|", special=False) == [0, 1, 2, 3, 0, 1]


def test_lengths_set_in_the_file_do_not_cut_text(folder: Path, tmp_path: Path):
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=50)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_folder(tmp_path)
    text = "the quick brown fox jumps"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_beyond_the_vocabulary_have_no_text(tokenizer: Tokenizer):
    beyond = tokenizer.vocab_size + 5
    assert tokenizer.decode([beyond]) == ""
    assert tokenizer.token_bytes(beyond) == b""
    with pytest.raises(ParameterError, match="not in the vocabulary"):
        tokenizer.token_text(beyond)


@pytest.mark.parametrize("wrong", [-1, 2**32, 1.5, "a", None])
def test_what_cannot_be_an_id_is_refused(tokenizer: Tokenizer, wrong):
    for read in (tokenizer.token_bytes, tokenizer.token_text, lambda id: tokenizer.decode([id])):
        with pytest.raises(ParameterError, match="token id"):
            read(wrong)


@pytest.mark.parametrize("wrong", [b"bytes", None, 3])
def test_what_is_no_text_is_refused(tokenizer: Tokenizer, wrong):
    with pytest.raises(ParameterError, match="expected a string"):
        tokenizer.encode(wrong)


def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer):
    with pytest.raises(ParameterError, match="lone surrogate at 1"):
        tokenizer.encode("a\udc80")


def test_eos_ids_come_from_the_checkpoint(tokenizer: Tokenizer, folder: Path, tmp_path: Path):
    assert tokenizer.eos_ids == (tokenizer.token_id("<eos>"), tokenizer.token_id("<turn|>"))
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    assert Tokenizer.from_folder(tmp_path).eos_ids == (tokenizer.token_id("<eos>"),)
    (tmp_path / "config.json").write_text('{"eos_token_id": 7}')
    assert Tokenizer.from_folder(tmp_path).eos_ids == (7,)


def test_a_prompt_has_bos_once_and_the_templates_control_tokens(tokenizer: Tokenizer):
    ids = tokenizer.render([{"role": "user", "content": "the quick"}])
    assert ids.count(tokenizer.bos_id) == 1
    assert tokenizer.decode(ids, special=True) == (
        "<bos><|turn>user\nthe quick<turn|>\n<|turn>model\n"
    )
    thinking = tokenizer.render([{"role": "user", "content": "the quick"}], thinking=True)
    assert thinking == ids + tokenizer.encode("<|channel>thought\n")


def test_a_template_without_bos_gets_one(folder: Path, tmp_path: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    for source in ("{{ messages[0].content }}", "<bos><bos>{{ messages[0].content }}"):
        (tmp_path / "chat_template.jinja").write_text(source)
        tokenizer = Tokenizer.from_folder(tmp_path)
        ids = tokenizer.render([{"role": "user", "content": "the"}])
        assert ids == [tokenizer.bos_id, *tokenizer.encode("the")]


@given(user=HOSTILE, system=HOSTILE)
def test_nobody_can_type_a_control_token(tokenizer: Tokenizer, user, system):
    turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    ids = tokenizer.render(turns)
    empty = tokenizer.render([{**turn, "content": ""} for turn in turns])
    assert [id for id in ids if id in tokenizer.special_ids] == [
        id for id in empty if id in tokenizer.special_ids
    ]
    assert tokenizer.decode(ids, special=True) == (
        f"<bos><|turn>system\n{system.strip()}<turn|>\n<|turn>user\n{user.strip()}<turn|>\n"
        "<|turn>model\n"
    )


@given(parts=st.lists(HOSTILE, max_size=4), past=HOSTILE, argument=HOSTILE)
def test_nobody_can_with_the_real_template(gemma: Tokenizer, parts, past, argument):
    def render(parts: list[str], past: str, argument: str) -> list[int]:
        function = {"name": "look", "arguments": {"key" + argument: [argument]}}
        schema = {"name": "look", "description": argument, "parameters": {}}
        return gemma.render(
            [
                {"role": "user", "content": [{"type": "text", "text": part} for part in parts]},
                {"role": "assistant", "content": past, "tool_calls": [{"function": function}]},
                {"role": "user", "content": "go on"},
            ],
            tools=[{"type": "function", "function": schema}],
        )

    ids = render(parts, past, argument)
    empty = render([], "", "")
    assert [id for id in ids if id in gemma.special_ids] == [
        id for id in empty if id in gemma.special_ids
    ]


def test_typed_control_strings_change_no_other_token(gemma: Tokenizer):
    typed = gemma.render([{"role": "user", "content": "a <turn|> b"}])
    at = typed.index(gemma.encode("a")[0])
    plain = gemma.encode("a <turn|> b", special=False)
    assert typed[at : at + len(plain)] == plain
    assert typed[at + len(plain)] == gemma.token_id("<turn|>")


def test_past_thoughts_are_left_out(gemma: Tokenizer):
    def history(answer: str) -> list[int]:
        question = {"role": "user", "content": "hi"}
        return gemma.render([question, {"role": "assistant", "content": answer}, question])

    assert history("<|channel>thought\nlong <turn|> thought<channel|>short") == history("short")


def test_content_other_than_text_is_refused(tokenizer: Tokenizer):
    with pytest.raises(ParameterError, match="image"):
        tokenizer.render([{"role": "user", "content": [{"type": "image"}]}])


def test_a_folder_without_tokenizer_gives_none(tmp_path: Path):
    assert Tokenizer.from_folder(tmp_path) is None


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="not a folder"):
        Tokenizer.from_folder(tmp_path / "none")


def test_a_folder_without_template_encodes_but_takes_no_messages(folder: Path, tmp_path: Path):
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.decode(tokenizer.encode("the")) == "the"
    with pytest.raises(TemplateError, match="no chat template"):
        tokenizer.render([{"role": "user", "content": "hi"}])


def test_the_template_may_stand_in_the_configuration(folder: Path, tmp_path: Path):
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    template = "{{ messages[0].content }}"
    named = [{"name": "rag", "template": "no"}, {"name": "default", "template": template}]
    for value in (template, named):
        config = json.dumps({"chat_template": value})
        (tmp_path / "tokenizer_config.json").write_text(config)
        assert Tokenizer.from_folder(tmp_path).template.source == template


CORRUPT = [
    ("tokenizer.json", b'{"version": "1.0", "model": {"type'),
    ("tokenizer.json", b""),
    ("tokenizer.json", b"\xff\xfe\x00"),
    ("tokenizer.json", b"{}"),
    ("tokenizer_config.json", b"{"),
    ("tokenizer_config.json", b"[]"),
    ("tokenizer_config.json", b"\xff\xfe\xff"),
    ("tokenizer_config.json", b'{"chat_template": 3}'),
    ("tokenizer_config.json", b'{"chat_template": [{"name": "default"}]}'),
    ("generation_config.json", b'{"eos_token_id": "one"}'),
    ("generation_config.json", b"nothing"),
    ("chat_template.jinja", b"\xff\xfe\xff"),
]


@pytest.mark.parametrize(("name", "content"), CORRUPT)
def test_a_corrupt_file_is_refused_by_name(folder: Path, tmp_path: Path, name, content):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes(content)
    if name == "tokenizer_config.json":
        (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(CorruptFileError, match=name):
        Tokenizer.from_folder(tmp_path)


@given(at=st.floats(0, 1), removed=st.integers(0, 30), inserted=st.binary(max_size=4))
def test_a_damaged_tokenizer_is_refused_or_still_works(
    folder: Path, tmp_path_factory, at, removed, inserted
):
    damaged = tmp_path_factory.mktemp("damaged")
    data = (folder / "tokenizer.json").read_bytes()
    start = int(at * len(data))
    (damaged / "tokenizer.json").write_bytes(data[:start] + inserted + data[start + removed :])
    refusal = None
    try:
        tokenizer = Tokenizer.from_folder(damaged)
    except CheckpointError as failure:
        refusal = str(failure)
    else:
        assert isinstance(tokenizer.decode(tokenizer.encode("the quick")), str)
    assert refusal is None or "tokenizer.json" in refusal
