"""Prefix K/V in pages, and the attention that writes and reads them."""
