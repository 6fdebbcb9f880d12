"""Model folders: files to tensors and configurations, and back, all or nothing."""

from canvaslm.checkpoint.folder import Checkpoint, open_checkpoint

__all__ = ["Checkpoint", "open_checkpoint"]
