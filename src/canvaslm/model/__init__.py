"""The network: what it is made of and how large it is; it knows no checkpoint names."""
