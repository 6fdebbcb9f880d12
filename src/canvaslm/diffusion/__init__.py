"""From noise to a settled canvas: each rule a frozen dataclass, and the loop that applies them."""
