"""The embedded model's vocabulary: a byte-level BPE with Gemma's control tokens, digits single."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

CONTROL_TOKENS = (
    "<pad>", "<eos>", "<bos>", "<unk>", "<mask>",
    "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>",
    "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
    '<|"|>',
)  # fmt: skip

# An XML tag or attribute, a word with its space, one digit, punctuation with its line end, or the
# line break with the indentation that follows: pieces that BPE merges within, never across.
PIECES = (
    r"""</?\p{L}+| ?[\p{L}_]+="|[ _]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}<]+\n?|<|\n[ ]*|[^\S\n]+|\s+"""
)

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' -}}
{%- set content = message['content'] -%}
{{- (content if content is string else content | map(attribute='text') | join) | trim -}}
{{- '<turn|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|turn>model\\n' -}}
{%- endif -%}
"""


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> tokenizers.Tokenizer:
    """Learn `vocab_size` tokens from `texts`; any text at all can be encoded, byte by byte."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenizer_files(tokenizer: tokenizers.Tokenizer) -> Mapping[str, bytes]:
    """The files that let this project and `transformers` load the tokenizer from a folder."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
    }
    return {
        "tokenizer.json": tokenizer.to_str(pretty=False).encode(),
        "tokenizer_config.json": json.dumps(config, indent=2).encode(),
        "chat_template.jinja": CHAT_TEMPLATE.encode(),
    }
