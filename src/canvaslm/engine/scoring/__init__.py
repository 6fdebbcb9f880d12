"""What the model thinks of a text: log-probabilities of tokens, of several kinds, and a bound."""
