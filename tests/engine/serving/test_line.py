"""A pass for many is the same as a pass for each, to the bit."""

import torch

import canvaslm
from canvaslm.cache.attend import Bidirectional, Causal
from canvaslm.cache.pages import Prefix
from canvaslm.engine.serving.line import Ask, run


def prefixes(lm: canvaslm.LM) -> list[Prefix]:
    return [lm.prefill("Draw: a circle. " * (3 * i + 1)) for i in range(4)]


def test_a_request_gets_the_same_bits_in_company_as_alone(quiet_lm: canvaslm.LM) -> None:
    lm, draw = quiet_lm, torch.Generator().manual_seed(5)
    found = prefixes(lm)
    with torch.inference_mode():
        for count in (1, 7, 256):
            shape, asks = (1, count), []
            for prefix in found:
                ids_1N = torch.randint(lm.config.vocab_size, shape, generator=draw)
                asks.append(
                    Ask(
                        network=lm.network,
                        kind="denoise",
                        ids_BN=ids_1N,
                        positions_BN=prefix.length + torch.arange(count)[None],
                        attend=Bidirectional([prefix]),
                        soft_BND=torch.randn(*shape, lm.config.hidden_size, generator=draw),
                    )
                )
            alone = [next(run([ask])) for ask in asks]
            for one, other in zip(run(asks), alone, strict=True):
                assert torch.equal(one, other)
    for prefix in found:
        prefix.free()


def test_what_is_written_is_the_same_too(quiet_lm: canvaslm.LM) -> None:
    lm, kept = quiet_lm, []
    ids_1N = torch.arange(5, 45)[None]
    with torch.inference_mode():
        for joined in (True, False):
            found = prefixes(lm)
            asks = [
                Ask(
                    network=lm.network,
                    kind="encode",
                    ids_BN=ids_1N + i,
                    positions_BN=prefix.length + torch.arange(40)[None],
                    attend=Causal([prefix]),
                )
                for i, prefix in enumerate(found)
            ]
            for group in [asks] if joined else [[ask] for ask in asks]:
                list(run(group))
            for prefix in found:
                prefix.advance(40)
            kept.append([prefix.segments(0)[0][0].clone() for prefix in found])
            for prefix in found:
                prefix.free()
    assert all(torch.equal(one, other) for one, other in zip(*kept, strict=True))
