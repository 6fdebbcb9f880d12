"""A vocabulary for grids: bytes, control tokens, and a digit with its space as one token."""

from __future__ import annotations

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from canvaslm.training.vocabulary import CONTROL_TOKENS

SPACE = "Ġ"  # how byte-level vocabularies write a space
PIECES = r" ?\p{N}| |[^\s\p{N}]+|\s"


def grid_tokenizer() -> tokenizers.Tokenizer:
    """81 digits apart are 81 tokens; any other text is bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    digits = "0123456789"
    names = [*CONTROL_TOKENS, *alphabet, *(SPACE + digit for digit in digits)]
    model = models.BPE(
        vocab={name: id for id, name in enumerate(names)},
        merges=[(SPACE, digit) for digit in digits],
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.add_special_tokens(list(CONTROL_TOKENS))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


VOCABULARY = len(CONTROL_TOKENS) + 256 + 10
