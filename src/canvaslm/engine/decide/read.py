"""Many reads after one prefix: grouped by shape, and run so that company changes no bit.

A product of few rows is summed in another order than one of many, so a question might be answered
otherwise in company. Rows are therefore padded to lengths that depend on the question alone, and
never fewer than FEWEST run together; then every product has rows enough. Whether that holds on
this machine is tried out, and where it does not, questions run one at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from canvaslm.cache.attend import SCORE_LIMIT
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.engine.decide.beside import Beside
from canvaslm.engine.decide.layout import Read
from canvaslm.engine.encode import extend_all
from canvaslm.model.network import Network
from canvaslm.model.presets import parameter_count

# B rows, N own tokens, L canvas, D hidden, K labels

STEP = 4  # own tokens are padded to multiples of it
FEWEST = 4  # rows that always run together
MOST = 64
TOKENS = 1 << 12  # own tokens that run together
LONG = 256  # own tokens of a row that needs no company; a multiple of STEP
SMALL = 1 << 24  # parameters


def together(network: Network, pool: Pool) -> int:
    """How many questions may run together to the same bits as alone: MOST, or 1.

    Tried out on a network of small products; a larger one gains less from company.
    """
    if not network.rows_stand_alone or parameter_count(network.config) > SMALL:
        return 1
    vocabulary, length = network.config.vocab_size, 4 * STEP
    ids = [(7 + 31 * i * i) % vocabulary for i in range(24 * length)]
    rows = [tuple(ids[i : i + length]) for i in range(0, len(ids), length)]
    reads = [Read(own=row, canvas=row[: 2 * STEP], place=0, labels=row[:4]) for row in rows]
    with torch.inference_mode(), Prefix(pool) as prefix:
        encode_shared(network, prefix, rows[0])
        many, _ = run(network, prefix, reads, batch=MOST)
        few = [run(network, prefix, [read], batch=MOST)[0][0] for read in reads[:6]]
    same = all(torch.equal(one, other) for one, other in zip(few, many, strict=False))
    return MOST if same else 1


def encode_shared(network: Network, prefix: Prefix, ids: Sequence[int]) -> None:
    for _ in extend_all(network, prefix, ids):
        pass


def run(
    network: Network, prefix: Prefix, reads: Sequence[Read], *, batch: int
) -> tuple[list[Tensor], int]:
    """Log-probabilities of each read's labels among themselves, float64 [K] on the CPU.

    Also how many passes of the network it took.
    """
    results: dict[int, Tensor] = {}
    passes = 0
    heads = max(layer.heads for layer in network.config.layers)

    def room(length: int) -> int:
        """Own tokens of a pass: their scores fit into memory, and nobody waits long behind it."""
        return min(SCORE_LIMIT // (heads * (prefix.length + length)), TOKENS)

    for group in groups(reads, batch, room=room):
        chosen = [reads[i] for i in group]
        padded = chosen + chosen[:1] * (min(fewest(len(chosen[0].own)), batch) - len(chosen))
        hidden_BD = hidden(network, prefix, padded)
        passes += 2 if chosen[0].canvas else 1
        for i, read, hidden_D in zip(group, chosen, hidden_BD, strict=False):
            logits_K = label_logits(network, hidden_D, read.labels)
            results[i] = logits_K.double().cpu().log_softmax(dim=-1)
    return [results[i] for i in range(len(reads))], passes


def fewest(length: int) -> int:
    """How many rows of so many own tokens always run together: a long one has rows enough."""
    return FEWEST if length <= LONG else 1


def groups(reads: Sequence[Read], batch: int, *, room: Callable[[int], int]) -> list[list[int]]:
    """Places of the reads that run together: of one shape, at most `batch`, and so many own tokens
    as there is `room` for at their length."""
    shapes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, read in enumerate(reads):
        shapes[-(-len(read.own) // STEP) * STEP, len(read.canvas)].append(i)
    found = []
    for (length, _), places in shapes.items():
        count = min(batch, max(room(length) // length, fewest(length)))
        found += [places[i : i + count] for i in range(0, len(places), count)]
    return found


def hidden(network: Network, prefix: Prefix, reads: Sequence[Read]) -> Tensor:
    """The hidden states at the reads' places, [B, D]; all reads are of one shape."""
    device = prefix.pool.device
    longest = -(-len(reads[0].own) // STEP) * STEP
    own_BN = torch.tensor([[*r.own, *[0] * (longest - len(r.own))] for r in reads], device=device)
    lengths_B = torch.tensor([len(read.own) for read in reads], device=device)
    place_B = torch.tensor([read.place for read in reads], device=device)
    attend = Beside(prefix, lengths_B)
    starts_B1 = torch.full_like(lengths_B, prefix.length)[:, None]
    hidden_BND = network.encode(own_BN, starts_B1 + torch.arange(longest, device=device), attend)
    if reads[0].canvas:
        canvas_BL = torch.tensor([read.canvas for read in reads], device=device)
        offset_L = torch.arange(canvas_BL.shape[1], device=device)
        positions_BL = starts_B1 + lengths_B[:, None] + offset_L
        hidden_BND = network.denoise(canvas_BL, None, positions_BL, attend)
    return hidden_BND[torch.arange(len(reads), device=device), place_B]


def label_logits(network: Network, hidden_D: Tensor, labels: Sequence[int]) -> Tensor:
    """`unembed` of these tokens alone: float32 [K], soft-capped."""
    weight_KD = network.embedding[torch.tensor(labels, device=hidden_D.device)].to(hidden_D.dtype)
    # each label by itself: a matrix product's bits depend on their order
    logits_K = (weight_KD.float() * hidden_D.float()).sum(dim=-1)
    cap = network.config.softcap
    return logits_K if cap is None else torch.tanh(logits_K / cap) * cap
