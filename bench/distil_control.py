"""The second stage's control: as many steps on the same mixtures, none of them walked.

canvaslm train bench/distil_control.py --out runs/control      # from the folder `old`
"""

from dataclasses import replace

from canvaslm.training.data.tasks import Tasks, name_of
from canvaslm.training.distil.data import Fewer
from canvaslm.training.distil.recipe import fewer

stage = fewer(steps=500, bfloat16=True, model="old")
assert isinstance(stage.data, Fewer)
ordinary = tuple(replace(m, called=f"{name_of(m)}, ordinary") for m in stage.data.walked)
recipe = replace(
    stage,
    name="control",
    data=Tasks(mixtures=(*stage.data.anchor, *ordinary), bins=stage.data.bins),
)
