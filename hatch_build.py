"""Compiles the native kernels when the package is built; without a compiler it goes on without."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeKernels(BuildHookInterface):  # type: ignore[type-arg]
    """CANVASLM_KERNELS=off leaves them out, =required makes a failure fatal."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("CANVASLM_KERNELS", "auto")
        if wanted == "off" or self.target_name != "wheel":
            return
        path = Path(self.root) / "src/canvaslm/kernels/build.py"
        spec = importlib.util.spec_from_file_location("build_kernels", path)
        assert spec is not None
        assert spec.loader is not None
        builder = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(builder)
        try:
            libraries = builder.build()
        except RuntimeError as error:
            if wanted == "required":
                raise
            self.app.display_warning(f"canvaslm goes without native kernels: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += [str(path.relative_to(self.root)) for path in libraries]
