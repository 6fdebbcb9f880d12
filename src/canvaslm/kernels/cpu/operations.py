"""All native operations of one instruction set."""

from __future__ import annotations

from canvaslm.kernels.cpu.attention import NativeAttention
from canvaslm.kernels.cpu.experts import NativeExperts
from canvaslm.kernels.cpu.head import NativeHead
from canvaslm.kernels.cpu.library import InstructionSet, open_library
from canvaslm.kernels.cpu.linear import NativeLinear
from canvaslm.kernels.cpu.rows import NativeRows

FAMILIES = (NativeRows, NativeLinear, NativeExperts, NativeAttention, NativeHead)


class Native(NativeRows, NativeLinear, NativeExperts, NativeAttention, NativeHead):
    """`Operations` in C++. Raises ParameterError where this machine cannot run them."""

    def __init__(self, name: InstructionSet) -> None:
        self.name: str = name
        library = open_library(name)
        for family in FAMILIES:
            family.__init__(self, library)
