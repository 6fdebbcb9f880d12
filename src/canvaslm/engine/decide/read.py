"""Many reads after one prefix: grouped by shape, and run so that company changes no bit.

The own tokens that reads share are encoded once; what differs stands in rows behind them.

A product of few rows is summed in another order than one of many, so a question might be answered
otherwise in company. Rows are therefore padded to lengths that depend on the question alone, and
never fewer than FEWEST run together; then every product has rows enough. Whether that holds on
this machine is tried out, and where it does not, questions run one at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.cache.attend import SCORE_LIMIT
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.engine.decide.beside import Behind, Beside
from canvaslm.engine.decide.layout import Read
from canvaslm.engine.encode import extend_all
from canvaslm.model.network import Network
from canvaslm.model.presets import parameter_count

# B rows, N own tokens, L tokens behind them, D hidden, K labels

STEP = 4  # own tokens are padded to multiples of it
FEWEST = 4  # rows that always run together
MOST = 64
TOKENS = 1 << 12  # that run together
LONG = 256  # tokens of a row that needs no company; a multiple of STEP
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
    shown = [(rows[0], row[n : n + 2 * STEP]) for row in rows[1:9] for n in (1, 2)]
    shown += [(row, row[: 2 * STEP]) for row in rows]
    reads = [Read(own=own, canvas=ids, place=0, labels=own[:4]) for own, ids in shown]
    with torch.inference_mode(), Prefix(pool) as prefix:
        encode_shared(network, prefix, rows[0])
        many, _ = run(network, prefix, reads, batch=MOST)
        few = [run(network, prefix, [read], batch=MOST)[0][0] for read in reads[-30::5]]
    same = all(torch.equal(one, other) for one, other in zip(few, many[-30::5], strict=True))
    return MOST if same else 1


def encode_shared(network: Network, prefix: Prefix, ids: Sequence[int]) -> None:
    for _ in extend_all(network, prefix, ids):
        pass


def run(
    network: Network, prefix: Prefix, reads: Sequence[Read], *, batch: int
) -> tuple[list[Tensor], int]:
    """Log-probabilities of each read's labels among themselves, float64 [K] on the CPU.

    Also how many passes of the network it took: tokens that reads have in common are encoded once.
    """
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, read in enumerate(reads):
        places[read.own].append(i)
    owns = [*places]
    hidden: dict[int, Tensor] = {}
    passes = 0
    for group in groups([padded(len(own)) for own in owns], batch, room=room(network, prefix)):
        sheet = encode_owns(network, prefix, [owns[n] for n in group], batch=batch)
        behind = [(row, i) for row, n in enumerate(group) for i in places[owns[n]]]
        hidden |= {i: sheet.ends[row] for row, i in behind}
        looks = [(row, i) for row, i in behind if reads[i].canvas or reads[i].said]
        shapes = [tail_length(reads[i]) for _, i in looks]
        parts = groups(shapes, batch, room=room(network, prefix, len(owns[group[0]])))
        for part in parts:
            chosen = [(looks[n][0], reads[looks[n][1]]) for n in part]
            found_BD = look_behind(network, sheet, chosen, batch=batch)
            hidden |= {looks[n][1]: found for n, found in zip(part, found_BD, strict=True)}
        passes += 1 + len(parts)
    return [log_p(network, hidden[i], read.labels) for i, read in enumerate(reads)], passes


def room(network: Network, prefix: Prefix, before: int = 0) -> Callable[[int], int]:
    """Tokens of a pass over rows of some length, `before` own ones already behind the prefix: their
    scores fit into memory, and nobody waits long behind it."""
    heads = max(layer.heads for layer in network.config.layers)
    known = prefix.length + before
    return lambda length: min(SCORE_LIMIT // (heads * (known + length)), TOKENS)


def padded(length: int) -> int:
    return -(-length // STEP) * STEP


def tail_length(read: Read) -> int:
    """How long the row behind its own tokens is."""
    return len(read.canvas) or padded(len(read.said))


def fewest(length: int) -> int:
    """How many rows of so many tokens always run together: a long one has rows enough."""
    return FEWEST if length <= LONG else 1


def groups(lengths: Sequence[int], batch: int, *, room: Callable[[int], int]) -> list[list[int]]:
    """Places of the rows that run together: of one length, at most `batch`, and so many tokens as
    there is `room` for at their length."""
    alike: dict[int, list[int]] = defaultdict(list)
    for i, length in enumerate(lengths):
        alike[length].append(i)
    found = []
    for length, places in alike.items():
        count = min(batch, max(room(length) // length, fewest(length)))
        found += [places[i : i + count] for i in range(0, len(places), count)]
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """Own tokens of several reads, encoded: their K/V, and the hidden states of the last [B, D]."""

    attend: Beside
    ends: Tensor


def encode_owns(
    network: Network, prefix: Prefix, owns: Sequence[tuple[int, ...]], *, batch: int
) -> Sheet:
    """One pass over own tokens of one padded length."""
    device, longest = prefix.pool.device, padded(len(owns[0]))
    rows = [*owns] + [owns[0]] * (min(fewest(longest), batch) - len(owns))
    ids_BN = torch.tensor([fill(row, longest) for row in rows], device=device)
    lengths_B = torch.tensor([len(row) for row in rows], device=device)
    attend = Beside(prefix, lengths_B)
    positions_BN = (prefix.length + torch.arange(longest, device=device)).expand_as(ids_BN)
    hidden_BND = network.encode(ids_BN, positions_BN, attend)
    ends_BD = hidden_BND[torch.arange(len(rows), device=device), lengths_B - 1]
    return Sheet(attend=attend, ends=ends_BD)


def look_behind(
    network: Network, sheet: Sheet, reads: Sequence[tuple[int, Read]], *, batch: int
) -> Tensor:
    """One pass behind rows of the sheet: the hidden states [B, D] at the places of the reads, which
    are of one length and stand with their rows, in ascending order."""
    length, prefix, device = tail_length(reads[0][1]), sheet.attend.prefix, sheet.ends.device
    missing = max(min(fewest(length), batch) - len(reads), 0)
    stood = [reads[0]] * missing + [*reads]
    rows, shown = [row for row, _ in stood], [read for _, read in stood]
    attend = Behind(sheet.attend, rows, causal=not shown[0].canvas)
    tails = [fill(read.canvas or read.said, length) for read in shown]
    ids_BL = torch.tensor(tails, device=device)
    starts_B1 = prefix.length + attend.lengths_B[:, None]
    positions_BL = starts_B1 + torch.arange(length, device=device)
    if shown[0].canvas:
        hidden_BLD = network.denoise(ids_BL, None, positions_BL, attend)
    else:
        hidden_BLD = network.encode(ids_BL, positions_BL, attend)
    place_B = torch.tensor([read.place for read in shown], device=device)
    return hidden_BLD[torch.arange(len(shown), device=device), place_B][missing:]


def fill(ids: Sequence[int], length: int) -> list[int]:
    """Padded on the right."""
    return [*ids, *[0] * (length - len(ids))]


def log_p(network: Network, hidden_D: Tensor, labels: Sequence[int]) -> Tensor:
    """Of these labels among themselves."""
    return label_logits(network, hidden_D, labels).double().cpu().log_softmax(dim=-1)


def label_logits(network: Network, hidden_D: Tensor, labels: Sequence[int]) -> Tensor:
    """`unembed` of these tokens alone: float32 [K], soft-capped."""
    weight_KD = network.embedding[torch.tensor(labels, device=hidden_D.device)].to(hidden_D.dtype)
    # each label by itself: a matrix product's bits depend on their order
    logits_K = (weight_KD.float() * hidden_D.float()).sum(dim=-1)
    cap = network.config.softcap
    return logits_K if cap is None else torch.tanh(logits_K / cap) * cap
