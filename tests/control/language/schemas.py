"""Schemas of the supported kinds, drawn at random, made so that most can be satisfied."""

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "name", 'q"', "é", "x/y"])
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={"minLength": st.integers(0, 2), "maxLength": st.integers(2, 9)},
)
PATTERNS = st.sampled_from(["^[a-c]+$", "x", r"^\d{3}-\w*$", r"\W", "^(yes|no)$", r'["\\]'])
FORMATS = st.sampled_from(["date", "time", "date-time", "uuid", "email", "ipv4"])
NUMBERS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-99, 0), "maximum": st.floats(0.5, 1000)},
    ),
    st.fixed_dictionaries(
        {"type": st.just("number")},
        optional={"exclusiveMinimum": st.floats(-9, 0), "exclusiveMaximum": st.floats(0.01, 1e6)},
    ),
    st.builds(lambda step: {"type": "integer", "multipleOf": step}, st.integers(1, 30)),
)
LEAVES = st.one_of(
    STRINGS,
    st.builds(lambda pattern: {"type": "string", "pattern": pattern}, PATTERNS),
    st.builds(lambda name: {"type": "string", "format": name}, FORMATS),
    NUMBERS,
    st.builds(
        lambda types: {"type": types},
        st.lists(st.sampled_from(["boolean", "null"]), min_size=1, unique=True),
    ),
    st.builds(
        lambda values: {"enum": values},
        st.lists(st.sampled_from(["a", 1, 2.5, None, [1], {"k": "v"}]), min_size=1),
    ),
    st.just({}),
)


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(NAMES, children, max_size=4)
    free = st.one_of(st.none(), st.booleans(), children)
    return st.tuples(properties, st.randoms(use_true_random=False), free).map(_make_object)


def _make_object(parts: Any) -> dict[str, Any]:
    properties, rng, free = parts
    required = [name for name in properties if rng.random() < 0.5]
    closing = {} if free is None else {"additionalProperties": free}
    return {"type": "object", "properties": properties, "required": required, **closing}


def _arrays(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": children,
            "prefixItems": st.lists(children, min_size=1, max_size=2),
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(2, 4),
        },
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _objects(inner),
        _arrays(inner),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda a, b: {"allOf": [a], **b}, inner, st.just({"title": "t"})),
    ),
    max_leaves=6,
)
