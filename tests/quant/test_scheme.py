"""Schemes: which part gets which format, and what is refused."""

import pytest

from canvaslm.errors import ParameterError
from canvaslm.quant.scheme import SCHEMES, Scheme, part_of, scheme_of


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("embedding", "embedding"),
        ("norm.weight", "rest"),
        ("self_conditioning.mlp.gate.weight", "rest"),
        ("layers.0.attention.q.weight", "dense"),
        ("layers.0.attention.q_norm.weight", "rest"),
        ("layers.11.mlp.down.weight", "dense"),
        ("layers.11.mlp_in.weight", "rest"),
        ("layers.2.router.proj.weight", "rest"),
        ("layers.2.router.scale", "rest"),
        ("layers.2.experts.gate_up", "experts"),
        ("layers.2.experts.down", "experts"),
        ("layers.2.experts_in.weight", "rest"),
        ("layers.2.denoise_scalar", "rest"),
    ],
)
def test_parts(name: str, part: str) -> None:
    assert part_of(name) == part


def test_groups_fit_or_say_what_does() -> None:
    scheme = Scheme()
    assert scheme.group_of("int4", 704, "m") == 64
    assert scheme.group_of("int4", 96, "m") == 32
    assert scheme.group_of("mxfp4", 96, "m") == 32
    assert scheme.group_of("int8", 7, "m") is None
    with pytest.raises(ParameterError, match=r"0\.down has 96 inputs.*64.*group=32, or int8"):
        Scheme(group=64).group_of("int4", 96, "layers.0.down")
    with pytest.raises(ParameterError, match=r"40 inputs.*use int8 or keep"):
        scheme.group_of("int4", 40, "m")
    with pytest.raises(ParameterError, match=r"40 inputs.*use int8 or keep"):
        scheme.group_of("mxfp4", 40, "m")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"experts": "int3"}, "experts must be one of int4, mxfp4, int8, keep, got 'int3'"),
        ({"dense": "mxfp4"}, "dense must be"),
        ({"embedding": "int4"}, "embedding must be"),
        ({"group": 128}, "group must be 64, 32 or None, got 128"),
    ],
)
def test_unknown_settings_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        Scheme(**settings)  # type: ignore[arg-type]


def test_names() -> None:
    assert scheme_of("int4") is SCHEMES["int4"]
    assert scheme_of(own := Scheme(group=32)) is own
    with pytest.raises(ParameterError, match="int4, int8, mxfp4 or None, got 'q4_k'"):
        scheme_of("q4_k")
