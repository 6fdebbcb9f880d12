"""Compiles the native kernels when the package is built; without a compiler it goes on without."""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeKernels(BuildHookInterface):  # type: ignore[type-arg]
    """CANVASLM_BUILD_KERNELS=off leaves them out, =required makes a failure fatal."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get("CANVASLM_BUILD_KERNELS", "auto")
        os.environ.pop("CANVASLM_LIBRARIES", None)
        if wanted == "off" or self.target_name != "wheel":
            return
        try:
            libraries = self.builder().build(stale_only=True)
        except RuntimeError as error:
            if wanted == "required":
                raise
            self.app.display_warning(f"canvaslm goes without native kernels: {error}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"  # they know nothing of Python's version
        build_data["artifacts"] += [str(path.relative_to(self.root)) for path in libraries]

    def builder(self) -> Any:
        """kernels/build.py, before there is a package to import it from."""
        path = Path(self.root) / "src/canvaslm/kernels/build.py"
        spec = importlib.util.spec_from_file_location("build_kernels", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
