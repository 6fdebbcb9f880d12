"""A vocabulary for grids: bytes, control tokens, a digit with its space, and cells.

Every prompt ends in a map of the grid: a token for each cell, in order, each as far from its cell
on the canvas as any other. RoPE tells only distances; the map tells rows, columns and boxes. The
chat template writes it, and its tokens begin as the sum of what their row, column and box are.
"""

from __future__ import annotations

import tokenizers
import torch
from tokenizers import Regex, decoders, models, pre_tokenizers
from torch import Tensor

from canvaslm.training.vocabulary import CHAT_TEMPLATE, CONTROL_TOKENS

SPACE = "Ġ"  # how byte-level vocabularies write a space
CELLS = tuple(f"<r{row}c{column}>" for row in range(1, 10) for column in range(1, 10))
TEMPLATE = CHAT_TEMPLATE.replace(
    "'<|turn>model\\n' -}}", f"'<|turn>model\\n{''.join(CELLS)}' -}}}}"
)
PIECES = r" ?\p{N}| |[^\s\p{N}]+|\s"


def grid_tokenizer() -> tokenizers.Tokenizer:
    """81 digits apart are 81 tokens; any other text is bytes. Only templates can write cells."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    digits = "0123456789"
    names = [*CONTROL_TOKENS, *CELLS, *alphabet, *(SPACE + digit for digit in digits)]
    model = models.BPE(
        vocab={name: id for id, name in enumerate(names)},
        merges=[(SPACE, digit) for digit in digits],
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.add_special_tokens([*CONTROL_TOKENS, *CELLS])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


VOCABULARY = len(CONTROL_TOKENS) + len(CELLS) + 256 + 10


def draw_map(embedding_VD: Tensor, generator: torch.Generator) -> None:
    """First embeddings of the cells, in place: row, column and box, of the others' size."""
    size = embedding_VD.shape[1]
    row_9D, column_9D, box_9D = (
        torch.randn(9, size, generator=generator) * (3 * size) ** -0.5 for _ in range(3)
    )
    for cell in range(81):
        row, column = divmod(cell, 9)
        whole_D = row_9D[row] + column_9D[column] + box_9D[row // 3 * 3 + column // 3]
        embedding_VD[len(CONTROL_TOKENS) + cell] = whole_D
