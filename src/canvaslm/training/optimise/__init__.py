"""How weights change: optimisers, schedules of the learning rate, averaged weights."""
