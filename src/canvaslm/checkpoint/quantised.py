"""Quantised folders: what config.json declares, checked, and each matrix by the layout it is in."""

from __future__ import annotations

from canvaslm.checkpoint.folder import Checkpoint, listed
from canvaslm.checkpoint.names import is_encode_scalar, is_vision, original_of
from canvaslm.checkpoint.quantised_layouts import NOTES, SUFFIXES, Loose, decode
from canvaslm.checkpoint.safetensors import StoredTensor
from canvaslm.errors import TensorError
from canvaslm.kernels.weight import Weight


class QuantisedTensors:
    """The tensors of a checkpoint by module; what nobody asked for is found out in the end.

    A float matrix is read as it is, so unquantised folders are read in the same way.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.modules: dict[str, dict[str, StoredTensor]] = {}
        for name, tensor in checkpoint.tensors.items():
            module, _, suffix = name.rpartition(".")
            if suffix in SUFFIXES:
                self.modules.setdefault(module, {})[suffix] = tensor
        self.used: set[str] = set()

    def __contains__(self, module: str) -> bool:
        return module in self.modules

    def matrix(self, module: str, shape: tuple[int, int]) -> Weight | Loose:
        """A module's [N, K]: views of the file, or loose numbers where no kernel reads its layout.

        Raises TensorError, naming the tensor, if one is missing, of another shape, or asymmetric.
        """
        parts = self.modules.get(module)
        if parts is None:
            raise self.lacking(f"{module}.weight")
        self.used |= {tensor.name for tensor in parts.values()}
        found = decode(module, parts, width=shape[1])
        if tuple(found.shape) != shape:
            raise TensorError(
                f"{self.checkpoint.path}: {module} is a matrix of {list(found.shape)}, config.json "
                f"asks for {list(shape)}"
            )
        return found

    def stored(self, name: str, shape: tuple[int, ...]) -> StoredTensor:
        """A tensor that is kept as floats, its shape and type checked."""
        if name not in self.checkpoint.tensors:
            raise self.lacking(name)
        tensor = self.checkpoint.tensors[name]
        self.checkpoint.check_tensor(tensor, shape)
        self.used.add(name)
        return tensor

    def finish(self) -> None:
        """Raises TensorError for tensors that were not read and are no copies of others."""
        surplus = [n for n in self.checkpoint.tensors if n not in self.used and not self.spare(n)]
        if surplus:
            raise TensorError(
                f"{self.checkpoint.path} has, but the network does not, the tensors "
                f"{listed(sorted(surplus))}; config.json and weights belong to different models"
            )

    def spare(self, name: str) -> bool:
        """Whether the text network does without it: image encoder, notes, and tied copies."""
        if is_vision(name) or name.rpartition(".")[2] in NOTES:
            return True
        original = original_of(name)
        if original is None or is_encode_scalar(name) or original not in self.used:
            return False
        tensors = self.checkpoint.tensors
        self.checkpoint.check_copy(tensors[name], tensors[original])
        return True

    def lacking(self, name: str) -> TensorError:
        return TensorError(
            f"{self.checkpoint.path} lacks the tensor {name}; config.json and weights belong to "
            "different models, or a file is missing"
        )
