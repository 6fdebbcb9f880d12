"""Single operations of OpenVINO with compressed weights; run by bench/peers.py in its own Python.

    python bench/peers_openvino.py --threads 2 --repeat 5

Prints one JSON document: milliseconds of a product with int8 and with 4-bit weights. Of experts one
is timed on the 16 rows that it gets on average, with weights that rotate, and counted 128 times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import numpy as np

TOKENS, HIDDEN, DENSE, INNER, EXPERTS, TOP = 256, 2816, 12288, 704, 128, 8
GROUP = 64
BEYOND = 640_000_000  # bytes that weights are rotated through, so that no cache holds them


def weight(ov: Any, ops: Any, rows: int, width: int, bits: int, seed: int) -> Any:
    """A node [rows, width] of floats, dequantised from int8 by row or from 4 bits by group."""
    rng = np.random.default_rng(seed)
    if bits == 8:
        data = ops.constant(rng.integers(-127, 127, (rows, width), dtype=np.int8))
        scale = ops.constant(rng.uniform(1e-4, 2e-4, (rows, 1)).astype(np.float16))
        return ops.convert(ops.multiply(ops.convert(data, "f16"), scale), "f32")
    tensor = ov.Tensor(ov.Type.u4, ov.Shape([rows, width // GROUP, GROUP]))  # owns its memory
    tensor.data[:] = rng.integers(0, 256, tensor.data.shape, dtype=np.uint8)
    data = ops.convert(ov.op.Constant(tensor), "f16")
    zero = ops.constant(np.full((1, 1, 1), 8, dtype=np.float16))
    size = (rows, width // GROUP, 1)
    scale = ops.constant(rng.uniform(5e-3, 7e-3, size).astype(np.float16))
    whole = ops.multiply(ops.subtract(data, zero), scale)
    shape = ops.constant(np.array([rows, width], dtype=np.int64))
    return ops.convert(ops.reshape(whole, shape, False), "f32")


def compiled(ov: Any, *, tokens: int, rows: int, width: int, bits: int, threads: int) -> list[Any]:
    """As many requests, each with weights of its own, as are needed to leave every cache."""
    ops = ov.opset13
    core = ov.Core()
    size = rows * width * bits // 8
    made = []
    for seed in range(max(1, -(-BEYOND // size))):
        x = ops.parameter([tokens, width], np.float32)
        node = ops.matmul(x, weight(ov, ops, rows, width, bits, seed), False, True)
        model = core.compile_model(ov.Model([node], [x]), "CPU", {"INFERENCE_NUM_THREADS": threads})
        request = model.create_infer_request()
        request.set_input_tensor(ov.Tensor(np.random.randn(tokens, width).astype(np.float32)))
        made.append(request)
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    import openvino as ov

    each = TOKENS * TOP // EXPERTS
    operations = {
        "dense 256 x 2816 x 12288, int8": (TOKENS, DENSE, HIDDEN, 8, 1),
        "dense 256 x 2816 x 12288, int4": (TOKENS, DENSE, HIDDEN, 4, 1),
        "experts gate and up, int4": (each, 2 * INNER, HIDDEN, 4, EXPERTS),
        "experts down, int4": (each, HIDDEN, INNER, 4, EXPERTS),
    }
    found: dict[str, Any] = {"version": ov.__version__, "milliseconds": {}}
    for name, (tokens, rows, width, bits, times) in operations.items():
        requests = compiled(
            ov, tokens=tokens, rows=rows, width=width, bits=bits, threads=given.threads
        )
        for request in requests:
            request.infer()
        seconds = []
        for turn in range(given.repeat * (1 if times == 1 else 16)):
            begun = time.perf_counter()
            requests[turn % len(requests)].infer()
            seconds.append(time.perf_counter() - begun)
        found["milliseconds"][name] = 1e3 * times * statistics.median(seconds)
        del requests
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
