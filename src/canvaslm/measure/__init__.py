"""What a pass costs on this machine: time, memory and each part's share, beside its ceiling."""
