"""Tokenizers of both layouts: small ones built here, and the real Gemma 4 vocabulary if present."""

import json
import os
from pathlib import Path

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from canvaslm.text.layout import byte_letters
from canvaslm.text.tokenizer import Tokenizer

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|tool>", "<tool|>", "<|think|>"]
SPECIAL += ["<|turn>", "<turn|>"]
PLAIN = ["<|tool_call>", "<tool_call|>", "<|channel>", "<channel|>", '<|"|>']
CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "def fold(x):\n    return x\n",
    "naïve 中文",
]

TEMPLATE = """{{ bos_token }}
{%- for message in messages -%}
    <|turn>{{ message.role }}{{ '\\n' }}
    {%- if message.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif -%}
    {{ message.content | trim }}<turn|>{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}<|turn>model{{ '\\n' }}{% endif -%}
{%- if enable_thinking %}<|channel>thought{{ '\\n' }}{% endif -%}
"""


def byte_level_backend() -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(text, normalized=False) for text in [*SPECIAL, *PLAIN]],
    )
    backend.train_from_iterator(CORPUS, trainer)
    return backend


def byte_fallback_backend() -> tokenizers.Tokenizer:
    """Gemma's layout: added tokens, then the bytes, then letters and merges."""
    entries = [*SPECIAL, *PLAIN, *(f"<0x{byte:02X}>" for byte in range(256))]
    entries += [*"▁abcdefghilnorstux<|>\n", "▁t", "th", "▁th", "▁the", "中"]
    merges = [("▁", "t"), ("t", "h"), ("▁t", "h"), ("▁th", "e")]
    vocabulary = {entry: id for id, entry in enumerate(entries)}
    backend = tokenizers.Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in SPECIAL])
    backend.add_tokens([AddedToken(text, normalized=False) for text in PLAIN])
    return backend


def write_checkpoint(folder: Path, backend: tokenizers.Tokenizer) -> Path:
    """The text files of a checkpoint."""
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<bos>", "eos_token": {"content": "<eos>"}})
    )
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    eos = [backend.token_to_id("<eos>"), backend.token_to_id("<turn|>")]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    return folder


BACKENDS = {"byte_level": byte_level_backend, "byte_fallback": byte_fallback_backend}


@pytest.fixture(scope="session", params=BACKENDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint's text files, once in each layout."""
    return write_checkpoint(tmp_path_factory.mktemp(request.param), BACKENDS[request.param]())


@pytest.fixture(scope="session")
def tokenizer(folder: Path) -> Tokenizer:
    """A small tokenizer, once in each layout."""
    tokenizer = Tokenizer.from_folder(folder)
    assert tokenizer is not None
    return tokenizer


@pytest.fixture(scope="session")
def gemma_folder(repository: Path) -> Path:
    """The real Gemma 4 vocabulary, template and vectors; skips where they are absent."""
    shared = Path(os.environ.get("CANVASLM_SHARED", repository.parent / "shared"))
    folder = shared / "data" / "gemma4"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip(f"no Gemma 4 vocabulary at {folder}: set CANVASLM_SHARED to a folder with it")
    return folder


@pytest.fixture(scope="session")
def gemma(gemma_folder: Path) -> Tokenizer:
    """The real Gemma 4 tokenizer."""
    tokenizer = Tokenizer.from_folder(gemma_folder)
    assert tokenizer is not None
    return tokenizer


@pytest.fixture(scope="session")
def bare() -> Tokenizer:
    """A byte-level tokenizer without any control token."""
    backend = tokenizers.Tokenizer(
        models.BPE({letter: id for id, letter in enumerate(byte_letters())}, [])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(backend)
