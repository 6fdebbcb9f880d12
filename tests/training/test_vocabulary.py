"""The learnt vocabulary loses no text, keeps digits single, and loads elsewhere."""

import json
from pathlib import Path

import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.vocabulary import CONTROL_TOKENS, tokenizer_files, train_tokenizer

TEXTS = ['<circle cx="16" cy="7" fill="red"/>\n', '{"name": "Ana", "count": 12}', "def f():\n    x"]
BACKEND = train_tokenizer(TEXTS, vocab_size=340)


@given(st.text())
def test_any_text_survives(text: str) -> None:
    ids = BACKEND.encode(text, add_special_tokens=False).ids
    if not any(token in text for token in CONTROL_TOKENS):
        assert BACKEND.decode(ids) == text


@given(st.from_regex(r"[0-9]{1,12}", fullmatch=True))
def test_digits_stand_alone(text: str) -> None:
    assert len(BACKEND.encode(text).ids) == len(text)


def test_control_tokens_have_the_ids_of_their_order() -> None:
    assert [BACKEND.token_to_id(token) for token in CONTROL_TOKENS] == list(
        range(len(CONTROL_TOKENS))
    )


def test_transformers_renders_the_same_conversation(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for name, content in tokenizer_files(BACKEND).items():
        (tmp_path / name).write_bytes(content)
    messages = [
        {"role": "user", "content": "def f():"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "12"},
    ]
    theirs = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    ours = Tokenizer.from_folder(tmp_path)
    assert ours is not None
    assert ours.render(messages) == theirs


def test_parts_of_a_content_are_its_text(tmp_path: Path) -> None:
    for name, content in tokenizer_files(BACKEND).items():
        (tmp_path / name).write_bytes(content)
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer is not None
    parts = [{"type": "text", "text": "def "}, {"type": "text", "text": "f():"}]
    whole = tokenizer.render([{"role": "user", "content": "def f():"}])
    assert tokenizer.render([{"role": "user", "content": parts}]) == whole


def test_files_are_plain_json() -> None:
    files = tokenizer_files(BACKEND)
    json.loads(files["tokenizer_config.json"])
    backend = tokenizers.Tokenizer.from_buffer(files["tokenizer.json"])
    assert backend.get_vocab() == BACKEND.get_vocab()
