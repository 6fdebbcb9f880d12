"""Run the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer.

Compiles every instruction set anew, into a folder of its own, and gives pytest what follows:
`python tools/sanitize.py -k head`. Ends well, saying so, where the compiler has no sanitizers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from canvaslm.kernels import build

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
OTHERS = ("test_pool.py", "test_build.py", "test_sanitizers.py", "amx")  # not of the libraries
TRAINING = ("tests/training/test_fused_rows.py", "tests/training/test_fused_attention.py")


def preloaded(cxx: str) -> list[str]:
    """What must be there before Python: the sanitizer, and the library whose calls it watches."""
    found = []
    for name in ("libasan.so", "libstdc++.so.6"):
        command = [cxx, f"-print-file-name={name}"]
        path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if Path(path).is_absolute():
            found.append(str(Path(path).resolve()))
    return found


def environment(cxx: str, folder: str) -> dict[str, str]:
    return os.environ | {
        "CANVASLM_LIBRARIES": folder,
        "LD_PRELOAD": " ".join(preloaded(cxx)),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # Python never frees all it has
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def main() -> int:
    cxx = build.compiler()
    if cxx is None or len(preloaded(cxx)) < 2 or not build.supported(cxx, FLAGS):
        print("this compiler has no sanitizers: nothing was run")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        around = environment(cxx, folder)
        command = [sys.executable, "-m", "canvaslm.kernels.build", "--", *FLAGS]
        subprocess.run(command, check=True, env=os.environ | {"CANVASLM_LIBRARIES": folder})
        left_out = [f"--ignore=tests/kernels/{name}" for name in OTHERS]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *left_out]
        command += ["tests/kernels", *TRAINING]
        workers = ["-n", "auto", "--maxprocesses=4", "--dist=loadfile"]
        done = subprocess.run(
            [*command, *workers, *sys.argv[1:]], cwd=ROOT, check=False, env=around
        )
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
