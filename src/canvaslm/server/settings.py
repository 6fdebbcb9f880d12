"""Everything `canvaslm serve` can be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from canvaslm.engine.checks import check_integer, check_number
from canvaslm.engine.serving.limits import Limits as Limits
from canvaslm.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A server's settings.

    host, port      where it listens; port 0 takes a free one
    name            the id the model goes by
    aliases         other names that requests may call it
    adapters        names of the adapters beside it: requests ask for `name:ADAPTER` or ADAPTER
    keys            API keys; empty: everybody may ask
    origins         origins that pages may ask from (CORS), or "*"; empty: none
    hosts           names that a Host header may have beside the usual ones; a server that is bound
                    to a loopback address takes no others
    body            largest body, in bytes
    depth           how deeply a body's JSON may be nested
    prompt          longest prompt, in characters of all its texts together
    schema          largest JSON schema, regex or grammar, in characters
    moves           largest automaton of one of those, in moves over the vocabulary: each pass of
                    the request walks all of them, while others wait
    read            seconds in which a body must have arrived
    wait            seconds a request may take in all
    drain           seconds that running requests get when the server stops
    log_prompts     whether logs show texts
    limits          what the engine takes at a time
    """

    host: str = "127.0.0.1"
    port: int = 8000
    name: str = "canvaslm-pocket"
    aliases: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    keys: tuple[str, ...] = field(default=(), repr=False)
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    body: int = 4 << 20
    depth: int = 100
    prompt: int = 1 << 20
    schema: int = 64 << 10
    moves: int = 200_000
    read: float = 30.0
    wait: float = 600.0
    drain: float = 10.0
    log_prompts: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_integer("port", self.port, least=0, below=1 << 16)
        for name in ("body", "depth", "prompt", "schema", "moves"):
            check_integer(name, getattr(self, name), least=1)
        for name in ("read", "wait"):
            check_number(name, getattr(self, name), above_zero=True)
        check_number("drain", self.drain)
        if not self.name or not self.name.isprintable():
            raise ParameterError(f"name must be printable text, got {self.name!r}")
        for origin in self.origins:
            check_origin(origin)
        for index, adapter in enumerate(self.adapters):
            taken = {"default", self.name, *self.aliases, *self.adapters[:index]}
            check_adapter(adapter, taken)

    @property
    def models(self) -> dict[str, str]:
        """The ids that requests may name, each with its adapter; "" is the model alone."""
        return {self.name: ""} | {f"{self.name}:{adapter}": adapter for adapter in self.adapters}


def check_adapter(name: str, taken: set[str]) -> None:
    """Raise ParameterError for a name that could not be told from another."""
    if not name or not name.isprintable() or ":" in name:
        raise ParameterError(
            f"an adapter's name must be printable text without a colon, got {name!r}"
        )
    if name in taken:
        raise ParameterError(f"two models would go by the name {name!r}: rename the adapter")


def check_origin(origin: str) -> None:
    """Raise ParameterError for what no browser sends as an origin."""
    scheme, mark, place = origin.partition("://")
    if origin != "*" and (not scheme or not mark or not place or "/" in place):
        raise ParameterError(
            f'an origin is like "https://example.org" or "http://localhost:3000", without a path, '
            f'or "*" for all, got {origin!r}'
        )
