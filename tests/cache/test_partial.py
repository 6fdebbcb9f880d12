"""K/V of a canvas that are kept from pass to pass."""

import torch

from canvaslm.cache.attend import Bidirectional
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.cache.partial import Partial
from canvaslm.model.presets import preset


def test_queries_see_new_keys_among_old_ones() -> None:
    config = preset("pocket")
    shape = config.layers[0]
    with Prefix(Pool(config)) as prefix:
        inner = Bidirectional([prefix])
        attend = Partial(inner)
        generator = torch.Generator().manual_seed(0)

        def tensor(heads: int, count: int) -> torch.Tensor:
            return torch.randn(1, heads, count, shape.head_dim, generator=generator)

        q, k, v = (tensor(heads, 8) for heads in (shape.heads, shape.kv_heads, shape.kv_heads))
        assert torch.equal(attend(0, q, k, v), inner(0, q, k, v))
        attend.places = places = torch.tensor([1, 6])
        new_k, new_v = tensor(shape.kv_heads, 2), tensor(shape.kv_heads, 2)
        mixed = attend(0, q[:, :, places], new_k, new_v)
        k[:, :, places], v[:, :, places] = new_k, new_v
        torch.testing.assert_close(mixed, inner(0, q, k, v)[:, :, places])
