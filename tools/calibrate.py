"""Fits the temperatures of a model's decisions to the `ask` task, for both methods.

python tools/calibrate.py                     the embedded model, into its own folder
python tools/calibrate.py --n 500 --model RUN --out FILE
"""

import argparse
import sys
from pathlib import Path

import canvaslm
from canvaslm.engine.decide.calibration import METHODS, Calibration
from canvaslm.engine.decide.decide import Rules
from canvaslm.engine.decide.examples import gather
from canvaslm.engine.decide.fitting import fit_all
from canvaslm.engine.loading import POCKET
from canvaslm.eval.asked import asked


def main() -> None:
    """Read the options, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=1000, help="questions to fit on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default=None)
    parser.add_argument("--out", type=Path, default=POCKET / "decisions.json")
    given = parser.parse_args()
    lm, calibration = canvaslm.load(given.model), Calibration()
    examples = asked(given.n, seed=given.seed, split="train")
    for method in METHODS:
        fits = fit_all(gather(lm.decider, examples, rules=Rules(method=method)))
        for kind, fit in fits.items():
            before, after = fit.before.ece, fit.after.ece
            print(f"{method}, {kind}: T {fit.temperature:.2f}, ECE {before:.3f} -> {after:.3f}")
        temperatures = {kind: fit.temperature for kind, fit in fits.items()}
        calibration = calibration.replace(method, temperatures)
    command = " ".join(["python tools/calibrate.py", *sys.argv[1:]])
    calibration.write(given.out, fitted={"command": command})


if __name__ == "__main__":
    main()
