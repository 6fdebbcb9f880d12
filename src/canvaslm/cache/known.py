"""What prompts have in common: a tree of the pieces encoded so far, over shared pages.

A node is a piece of a prompt (see `canvaslm.cache.pieces`) behind the pieces above it, and holds
for each layer the page its tokens are in. Pieces of one page share it, so a chat of short turns
takes no more pages than its tokens fill; two chats that part within a page have one each.

A prompt drops the pages of a sliding layer that its window has left; the tree keeps them, as a new
prompt may part from an old one anywhere. So it takes a page in every layer for each page of
tokens, in a network of mostly sliding layers several times what the prompt itself holds. Where room
is short those go first that are of least use: pages far before the places where prompts have
parted, turns have ended, or a prompt went no further.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from canvaslm.cache.pages import Page, Pool, Prefix
from canvaslm.cache.pieces import Piece
from canvaslm.errors import ParameterError

RARELY = 16
"""Which nodes are useful is looked for again when one in so many is new: it takes a look at all."""


@dataclass(eq=False)
class Node:
    """A piece that ends at token `end`; `pages` are None on sliding layers where given up."""

    parent: Node | None = None
    ids: tuple[int, ...] = ()
    end: int = 0
    number: int = -1
    pages: list[Page | None] = field(default_factory=list)
    thin: bool = False
    children: dict[tuple[int, ...], Node] = field(default_factory=dict)

    def path(self) -> Iterator[Node]:
        """This node and those above it, the root not among them."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


@dataclass(frozen=True, kw_only=True)
class KnownStats:
    """Tokens of prompts `found`, and those that had to be `encoded`; the tree as it is now, and
    how many nodes were given up (`evicted`) or left with their full layers only (`thinned`)."""

    found: int
    encoded: int
    nodes: int
    pages: int
    evicted: int
    thinned: int

    @property
    def counted(self) -> dict[str, int]:
        """What a monitor shows of it."""
        return {
            "cache_hits": self.found,
            "cache_misses": self.encoded,
            "cache_pages": self.pages,
            "evictions": self.evicted,
        }


@dataclass(eq=False)
class Trail:
    """A prompt on its way: `prefix`, which is the caller's, and how far the tree knows it."""

    known: Known
    prefix: Prefix
    node: Node | None

    def remember(self, piece: Piece) -> None:
        """`piece` has just been encoded, to the prefix's end."""
        self.node = self.known.remember(self.node, piece, self.prefix)


class Known:
    """The tree. It holds at most `limit` pages (None: as many as the pool gives).

    Make one and set it as the pool's: `pool.known = Known(pool)`. It is for one thread; between
    any two calls others may have added and evicted nodes.
    """

    def __init__(self, pool: Pool, *, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ParameterError(f"limit must be at least 1 page or None, got {limit!r}")
        self.pool, self.limit = pool, limit
        self._windows = [layer.window for layer in pool.config.layers]
        self._roots: dict[object, Node] = {}
        # from the one that was used longest ago; a node stands before its parent, so the first
        # has no children
        self._nodes: OrderedDict[Node, None] = OrderedDict()
        self._held: Counter[Page] = Counter()
        self._grown = 0  # nodes that came since the useful ones were last looked for
        self._found = self._encoded = self._evicted = self._thinned = 0

    @property
    def pages(self) -> int:
        """How many pages the tree holds, each counted once."""
        return len(self._held)

    def has_spare(self, count: int) -> bool:
        """Whether so many of them are held by nobody else."""
        spare = (page for page, own in self._held.items() if page.holders == own)
        return sum(1 for _ in islice(spare, count)) == count

    @property
    def stats(self) -> KnownStats:
        return KnownStats(
            found=self._found,
            encoded=self._encoded,
            nodes=len(self._nodes),
            pages=self.pages,
            evicted=self._evicted,
            thinned=self._thinned,
        )

    def find(self, ids: Sequence[int], *, writer: object = None) -> Trail:
        """Its longest beginning that is known and leaves a token to encode, as a prefix.

        K and V are those of a `writer`: what another wrote is not found.
        """
        path: list[Node] = []
        node = self._root(writer)
        for piece in self.pool.cut(ids):
            child = node.children.get(piece.ids)
            if child is None or child.end >= len(ids):
                break
            path.append(node := child)
        while path and not self._readable(path):
            path.pop()
        if not path:
            return self.start(writer=writer)
        node = path[-1]
        self._touch(node)
        self._found += node.end
        pages = {step.number: step.pages for step in path}  # the last node in a page knows most
        return Trail(self, Prefix.over(self.pool, pages, node.end), node)

    def start(self, *, writer: object = None) -> Trail:
        """For a prompt that has to be encoded from its start."""
        return Trail(self, Prefix(self.pool), self._root(writer))

    def _root(self, writer: object) -> Node:
        return self._roots.setdefault(writer, Node())

    def remember(self, parent: Node | None, piece: Piece, prefix: Prefix) -> Node | None:
        """Add a piece behind `parent`, which `prefix` has just been extended by.

        Returns its node, the one of another prompt where that was first; None where it cannot be
        found again: it is not whole, or `parent` has been evicted since.
        """
        self._encoded += len(piece.ids)
        if parent is None or not piece.whole:
            return None
        if parent.parent is not None and parent not in self._nodes:
            return None
        node = parent.children.get(piece.ids)
        if node is None:
            node = self._add(parent, piece, prefix)
        elif node.thin:
            self._take_over(node, prefix)
        self._touch(node)
        while self.limit is not None and self.pages > self.limit:
            self.evict(own=True)
        return node if node in self._nodes else None

    def evict(self, *, own: bool = False) -> bool:
        """Give up the least that may help; False: nothing would give a page back to the pool.

        With `own` the tree's hold on pages counts, even where a prompt that runs keeps them.
        """
        if not own and not any(page.holders == n for page, n in self._held.items()):
            return False
        if self._thin():
            return True
        self._remove(self._victim())
        return True

    def clear(self) -> None:
        """Give up everything."""
        while self._nodes:
            self._remove(next(iter(self._nodes)))

    def _readable(self, path: Sequence[Node]) -> bool:
        """Whether the pages that the last node's windows reach are all there."""
        low = self._reach(path[-1])
        for node in reversed(path):
            if node.number < low:
                return True
            if node.thin:
                return False
        return True

    def _reach(self, node: Node) -> int:
        """The first page that any sliding layer can see of what ends with this node."""
        window = max((window for window in self._windows if window is not None), default=1)
        return max(node.end - window + 1, 0) // self.pool.page_size

    def _add(self, parent: Node, piece: Piece, prefix: Prefix) -> Node:
        end = parent.end + len(piece.ids)
        assert prefix.length == end, "a piece is remembered when the prefix ends with it"
        number = (end - 1) // self.pool.page_size
        node = Node(parent, piece.ids, end, number, [None] * len(self._windows))
        parent.children[piece.ids] = node
        self._nodes[node] = None
        self._take_over(node, prefix)
        return node

    def _take_over(self, node: Node, prefix: Prefix) -> None:
        """Hold the prefix's last pages, for the node and those above it whose tokens they have,
        which then need none of their own: so the turns of a chat share their pages."""
        ends = prefix.ends
        for step in node.path():
            if step.number != node.number:
                break
            for layer, page in enumerate(ends):
                if page is not None:
                    self._hold(page)
                    self._release(step.pages[layer])
                    step.pages[layer] = page
            step.thin = False
        self._grown += 1

    def _thin(self) -> bool:
        """Give up pages of sliding layers that are of little use; whether there were any."""
        few = self._grown * RARELY < len(self._nodes)
        if not self._grown or few or all(window is None for window in self._windows):
            return False
        self._grown = 0
        useful = self._useful()
        useless = [node for node in self._nodes if not node.thin and node not in useful]
        for node in useless:
            for layer, window in enumerate(self._windows):
                if window is not None:
                    self._release(node.pages[layer])
                    node.pages[layer] = None
            node.thin = True
        self._thinned += len(useless)
        return bool(useless)

    def _useful(self) -> set[Node]:
        """Nodes in reach of a place where a prompt is likely to go on in another way."""
        useful: set[Node] = set()
        for node in self._nodes:
            if len(node.children) == 1 and node.end % self.pool.page_size == 0:
                continue
            low = self._reach(node)
            for step in node.path():
                if step.number < low:
                    break
                useful.add(step)
        return useful

    def _victim(self) -> Node:
        """The leaf used longest ago that gives a page back, or behind which there is one."""
        for leaf in self._leaves():
            if self._frees(leaf):
                return leaf
        uncovers = (leaf for leaf in self._leaves() if any(map(self._frees, leaf.path())))
        return next(uncovers, next(self._leaves()))

    def _leaves(self) -> Iterator[Node]:
        return (node for node in self._nodes if not node.children)

    def _touch(self, node: Node) -> None:
        for step in node.path():
            self._nodes.move_to_end(step)

    def _remove(self, leaf: Node) -> None:
        assert leaf.parent is not None
        assert not leaf.children
        del leaf.parent.children[leaf.ids]
        del self._nodes[leaf]
        for page in leaf.pages:
            self._release(page)
        self._evicted += 1

    def _frees(self, node: Node) -> bool:
        """Whether it has a page that nobody but the tree holds."""
        return any(page is not None and page.holders == self._held[page] for page in node.pages)

    def _hold(self, page: Page) -> None:
        page.holders += 1
        self._held[page] += 1

    def _release(self, page: Page | None) -> None:
        if page is None:
            return
        self._held[page] -= 1
        if not self._held[page]:
            del self._held[page]
        self.pool.drop(page)
