"""The image encoder's tensors are exactly those transformers builds."""

from typing import Any

import pytest
import torch
from transformers import AutoModel, Gemma4VisionConfig

from canvaslm.checkpoint.vision import RELEASED_VISION, SMALLEST_VISION, vision_shapes

TOWER = "model.encoder.vision_tower."


@pytest.mark.parametrize("vision", [RELEASED_VISION, SMALLEST_VISION])
def test_names_and_shapes_are_the_oracles(vision: dict[str, Any]) -> None:
    with torch.device("meta"):
        tower = AutoModel.from_config(Gemma4VisionConfig(**vision))
    expected = {TOWER + name: tuple(t.shape) for name, t in tower.state_dict().items()}
    expected["model.encoder.embed_vision.embedding_projection.weight"] = (
        96,
        vision["hidden_size"],
    )
    assert vision_shapes(vision, 96) == expected
