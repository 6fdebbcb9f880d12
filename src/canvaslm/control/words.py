"""Finds the words of a set in a stream of symbols, each as it ends (Aho and Corasick, 1975)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from copy import copy


class Words:
    """The words as one automaton; symbols are numbers: bytes, characters or token ids.

    State 0 is the start. `depth` says of a state how many of the last symbols may begin a word,
    `hit` how long the longest word is that ends there, 0 for none.
    """

    def __init__(self, words: Iterable[Sequence[int]]) -> None:
        self._next: list[dict[int, int]] = [{}]
        self.depth, self.hit = [0], [0]
        for word in words:
            self.hit[self._add(word)] = len(word)
        self._fail = [0] * len(self._next)
        queue = deque(self._next[0].values())
        while queue:
            state = queue.popleft()
            for symbol, child in self._next[state].items():
                self._fail[child] = self.step(self._fail[state], symbol)
                self.hit[child] = self.hit[child] or self.hit[self._fail[child]]
                queue.append(child)

    def _add(self, word: Sequence[int]) -> int:
        state = 0
        for symbol in word:
            if symbol not in self._next[state]:
                self._next[state][symbol] = len(self._next)
                self._next.append({})
                self.depth.append(self.depth[state] + 1)
                self.hit.append(0)
            state = self._next[state][symbol]
        return state

    def step(self, state: int, symbol: int) -> int:
        """Where `symbol` leads."""
        while symbol not in self._next[state]:
            if state == 0:
                return 0
            state = self._fail[state]
        return self._next[state][symbol]


class Finder:
    """A place in a stream; each symbol comes with its `origin`, which is where a hit is told by."""

    def __init__(self, words: Words) -> None:
        self._words, self._state = words, 0
        self._origins: deque[int] = deque(maxlen=max(words.depth))

    @property
    def pending(self) -> int:
        """How many of the last symbols may yet turn out to begin a word."""
        return self._words.depth[self._state]

    def push(self, symbol: int, origin: int) -> int:
        """The length of the longest word that ends here, 0 for none."""
        self._state = self._words.step(self._state, symbol)
        self._origins.append(origin)
        return self._words.hit[self._state]

    def origin(self, back: int) -> int:
        """Where the symbol came from that is `back` symbols before the end, 1 the last one."""
        return self._origins[-back]

    def fork(self) -> Finder:
        """One that goes on from here on its own."""
        other = copy(self)
        other._origins = self._origins.copy()
        return other
