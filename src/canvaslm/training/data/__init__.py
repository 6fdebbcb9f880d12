"""What a run learns from: tasks that make examples, files that hold them, and their batches."""
