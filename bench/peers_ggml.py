"""Single operations of ggml, as llama-cpp-python ships it; run by bench/peers.py in its own Python.

    python bench/peers_ggml.py --threads 2 --repeat 5

Prints one JSON document: milliseconds of each operation and weight format, in each buffer type that
this machine's backend has for it: plain memory, or repacked for its instructions.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import time
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

F32, I32 = 0, 26
FORMATS = {"Q4_0": 2, "Q8_0": 8}
TOKENS, HIDDEN, DENSE, INNER, EXPERTS, TOP = 256, 2816, 12288, 704, 128, 8
BEYOND = 640_000_000  # bytes that weights are rotated through, so that no cache holds them


class Parameters(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = (("size", c_size_t), ("buffer", c_void_p), ("no_alloc", c_bool))


class Ggml:
    """The few functions that a product needs, by ctypes."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.base = ctypes.CDLL(str(folder / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
        self.cpu = ctypes.CDLL(str(folder / "libggml-cpu.so"), mode=ctypes.RTLD_GLOBAL)
        self.backend = self.call("ggml_backend_cpu_init")
        self.call("ggml_backend_cpu_set_n_threads", c_void_p(self.backend), threads, out=None)
        register = c_void_p(self.call("ggml_backend_cpu_reg"))
        self.device = c_void_p(self.call("ggml_backend_reg_dev_get", register, c_size_t(0)))
        plain = self.call("ggml_backend_dev_buffer_type", self.device)
        self.plain, self.buffers = plain, {"plain": plain}
        address = self.call(
            "ggml_backend_reg_get_proc_address", register, b"ggml_backend_dev_get_extra_bufts"
        )
        if address:
            extra = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)(address)(self.device)
            for found in iter_pointers(extra):
                name = self.call("ggml_backend_buft_name", c_void_p(found), out=c_char_p)
                self.buffers[name.decode()] = found

    def call(self, name: str, *arguments: Any, out: Any = c_void_p) -> Any:
        library = self.base if hasattr(self.base, name) else self.cpu
        function = getattr(library, name)
        function.restype = out
        return function(*arguments)

    def context(self) -> c_void_p:
        return c_void_p(self.call("ggml_init", Parameters(64 << 20, None, True)))

    def tensor(self, context: c_void_p, kind: int, *sizes: int) -> c_void_p:
        sizes = (*sizes, *(1,) * (3 - len(sizes)))
        return c_void_p(self.call("ggml_new_tensor_3d", context, kind, *map(c_int64, sizes)))

    def place(self, context: c_void_p, buffer: int) -> bool:
        name = "ggml_backend_alloc_ctx_tensors_from_buft"
        return bool(self.call(name, context, c_void_p(buffer)))

    def fill(self, tensor: c_void_p, data: np.ndarray) -> None:
        raw = np.ascontiguousarray(data)
        pointer = raw.ctypes.data_as(c_void_p)
        sizes = (c_size_t(0), c_size_t(raw.nbytes))
        self.call("ggml_backend_tensor_set", tensor, pointer, *sizes, out=None)

    def rounded(self, kind: int, rows: int, width: int) -> np.ndarray:
        """Normal weights in ggml's own format."""
        values = np.random.default_rng(0).normal(0, 0.02, (rows, width)).astype(np.float32)
        out = np.zeros(rows * width * 2, dtype=np.uint8)
        size = self.call(
            "ggml_quantize_chunk",
            kind,
            values.ctypes.data_as(c_void_p),
            out.ctypes.data_as(c_void_p),
            c_int64(0),
            c_int64(rows),
            c_int64(width),
            None,
            out=c_size_t,
        )
        return out[:size]

    def run(self, results: list[c_void_p], context: c_void_p) -> Any:
        """A function that computes one of the results at each call, in turn."""
        graphs = []
        for result in results:
            graph = c_void_p(self.call("ggml_new_graph", context))
            self.call("ggml_build_forward_expand", graph, result, out=None)
            graphs.append(graph)

        def compute(turn: int) -> None:
            graph = graphs[turn % len(graphs)]
            name = "ggml_backend_graph_compute"
            if self.call(name, c_void_p(self.backend), graph, out=c_int):
                raise RuntimeError("ggml did not compute the graph")

        return compute


def iter_pointers(pointers: Any) -> Any:
    i = 0
    while pointers and pointers[i]:
        yield pointers[i]
        i += 1


def product(ggml: Ggml, kind: int, buffer: int, sizes: tuple[int, int], experts: int) -> Any:
    """x W^T, or where there are experts the same of each token's eight; weights rotate."""
    rows, width = sizes
    one = ggml.rounded(kind, rows, width)
    whole = np.tile(one, max(experts, 1))
    count = max(1, -(-BEYOND // whole.nbytes))
    weights, others = ggml.context(), ggml.context()
    shape = (width, rows, experts) if experts else (width, rows)
    matrices = [ggml.tensor(weights, kind, *shape) for _ in range(count)]
    if experts:
        x = ggml.tensor(others, F32, width, 1, TOKENS)
        ids = ggml.tensor(others, I32, TOP, TOKENS)
        made = [c_void_p(ggml.call("ggml_mul_mat_id", others, m, x, ids)) for m in matrices]
    else:
        x = ggml.tensor(others, F32, width, TOKENS)
        made = [c_void_p(ggml.call("ggml_mul_mat", others, m, x)) for m in matrices]
    if not ggml.place(weights, buffer):
        return None
    if not all(ggml.call("ggml_backend_dev_supports_op", ggml.device, m, out=c_bool) for m in made):
        return None
    ggml.place(others, ggml.plain)
    for matrix in matrices:
        ggml.fill(matrix, whole)
    rng = np.random.default_rng(1)
    ggml.fill(x, rng.normal(size=TOKENS * width).astype(np.float32))
    if experts:
        chosen = np.stack([rng.permutation(experts)[:TOP] for _ in range(TOKENS)])
        ggml.fill(ids, chosen.astype(np.int32))
    return ggml.run(made, others)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    import llama_cpp

    ggml = Ggml(Path(llama_cpp.__file__).parent / "lib", given.threads)
    operations = {
        "dense 256 x 2816 x 12288": ((DENSE, HIDDEN), 0),
        "experts gate": ((INNER, HIDDEN), EXPERTS),
        "experts down": ((HIDDEN, INNER), EXPERTS),
    }
    found: dict[str, Any] = {"version": llama_cpp.__version__, "milliseconds": {}}
    for name, (sizes, experts) in operations.items():
        for label, kind in FORMATS.items():
            if experts and label == "Q8_0":
                continue
            for place, buffer in ggml.buffers.items():
                compute = product(ggml, kind, buffer, sizes, experts)
                if compute is None:
                    continue
                seconds = []
                for turn in range(given.repeat + 1):
                    begun = time.perf_counter()
                    compute(turn)
                    seconds.append(time.perf_counter() - begun)
                key = f"{name}, {label}, {place}"
                found["milliseconds"][key] = 1e3 * statistics.median(seconds[1:])
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
