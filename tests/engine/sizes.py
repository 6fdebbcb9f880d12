"""How much a state of weights takes, for tests that compare it with a plan or a file."""

from collections.abc import Mapping

from canvaslm.kernels.weight import Weight


def arranged(state: Mapping[str, object]) -> int:
    """Bytes of all weights of a state, wherever they lie."""
    found = 0
    for value in state.values():
        for one in value if isinstance(value, list) else [value]:
            found += one.bytes if isinstance(one, Weight) else getattr(one, "nbytes", 0)
    return found
