"""What stands before every endpoint: keys, limits, headers, and connections that must not wait."""
