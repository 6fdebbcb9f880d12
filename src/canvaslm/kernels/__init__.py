"""The operations a network is made of: named, defined in plain torch, and written natively."""
