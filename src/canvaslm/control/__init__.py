"""What bends a step: pins, constraints, logit rules, end-of-text accounting."""
