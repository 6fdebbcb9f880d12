"""Our network's answer to a parity request, with the dense definition of attention."""

import torch
from tests.model.dense_attend import DensePrefix
from tests.parity.oracle import Answer, Request

from canvaslm.model.transformer import Transformer


@torch.no_grad()
def ask_ours(model: Transformer, request: Request) -> Answer:
    """Prompts padded on the right, in two pieces; the padding is outside every mask."""
    lengths = torch.tensor([len(prompt) for prompt in request.prompts])
    longest = int(lengths.max())
    ids = torch.tensor([p + [0] * (longest - len(p)) for p in request.prompts])
    place = torch.arange(longest).expand_as(ids)
    place = place.where(place < lengths[:, None], -1)
    prefix, hidden = DensePrefix(model.config), []
    for a, b in ((0, request.cut), (request.cut, longest)) if request.cut else ((0, longest),):
        piece = place[:, a:b]
        hidden.append(model.encode(ids[:, a:b], piece.clamp(min=0), prefix.encode(piece)))
    causal = model.unembed(torch.cat(hidden, dim=1))
    soft = None if request.previous_BLV is None else model.soften(request.previous_BLV)
    positions = lengths[:, None] + torch.arange(request.canvas_BL.shape[1])
    canvas = model.unembed(
        model.denoise(request.canvas_BL, soft, positions, prefix.denoise(lengths))
    )

    def kept(tensors: dict[int, torch.Tensor], row: int) -> list[torch.Tensor]:
        length, kept_rows = int(lengths[row]), []
        for index, layer in enumerate(model.config.layers):
            first = 0 if layer.window is None else max(0, length - layer.window + 1)
            kept_rows.append(tensors[index][row, :, first:length])
        return kept_rows

    rows = range(len(lengths))
    return Answer(
        keys=[kept(prefix.keys, row) for row in rows],
        values=[kept(prefix.values, row) for row in rows],
        causal=[causal[row, : int(lengths[row])] for row in rows],
        canvas=canvas,
    )
