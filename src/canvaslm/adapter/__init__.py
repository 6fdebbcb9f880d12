"""Low-rank adapters: PEFT's files in and out, worn while training, merged, or served unmerged."""
