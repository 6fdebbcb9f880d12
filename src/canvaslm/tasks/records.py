"""A sentence and the keys to look for -> the record that it states, as JSON."""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from canvaslm.tasks import record_words as words
from canvaslm.tasks.task import Example, Score, Split, check_request, split_of

Value = str | int | bool | list[str]
Record = dict[str, Value]
_Draw = Callable[[random.Random], Record]

_FEWEST_KEYS = 3
_LONGEST = 2000


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A kind of record, and sentences that state one: `{key}` is a value, `{key:yes|no}` a flag."""

    draw: _Draw
    frames: tuple[str, ...]


def _order(rng: random.Random) -> Record:
    return {
        "name": rng.choice(words.NAMES),
        "item": rng.choice(words.ITEMS),
        "count": rng.randint(2, 99),
        "colors": sorted(rng.sample(words.COLOURS, rng.randint(1, 3))),
        "city": rng.choice(words.CITIES),
        "paid": rng.random() < 0.5,
    }


def _booking(rng: random.Random) -> Record:
    return {
        "name": rng.choice(words.NAMES),
        "guests": rng.randint(1, 12),
        "day": rng.choice(words.WEEKDAYS),
        "city": rng.choice(words.CITIES),
        "room": rng.randint(100, 999),
        "extras": sorted(rng.sample(words.EXTRAS, rng.randint(1, 3))),
        "breakfast": rng.random() < 0.5,
    }


def _contact(rng: random.Random) -> Record:
    return {
        "name": rng.choice(words.NAMES),
        "age": rng.randint(18, 80),
        "job": rng.choice(words.JOBS),
        "city": rng.choice(words.CITIES),
        "phone": str(rng.randint(200000, 999999)),
        "languages": sorted(rng.sample(words.LANGUAGES, rng.randint(1, 3))),
        "married": rng.random() < 0.5,
    }


def _weather(rng: random.Random) -> Record:
    return {
        "city": rng.choice(words.CITIES),
        "day": rng.choice(words.WEEKDAYS),
        "sky": rng.choice(words.SKIES),
        "high": rng.randint(10, 40),
        "low": rng.randint(-15, 9),
        "warning": rng.random() < 0.5,
    }


def _book(rng: random.Random) -> Record:
    return {
        "title": f"{rng.choice(words.ADJECTIVES)} {rng.choice(words.NOUNS)}",
        "author": rng.choice(words.NAMES),
        "year": rng.randint(1900, 2024),
        "pages": rng.randint(80, 900),
        "genres": sorted(rng.sample(words.GENRES, rng.randint(1, 3))),
        "available": rng.random() < 0.5,
    }


DOMAINS: Mapping[str, Domain] = {
    "order": Domain(
        draw=_order,
        frames=(
            "{name} from {city} ordered {count} {item} in {colors} and has {paid:|not }paid.",
            "{name} bought {count} {item} in {colors} in {city}, {paid:already|not yet} paid.",
            "Send {count} {item} in {colors} to {name} in {city}, {paid:already|not yet} paid.",
        ),
    ),
    "booking": Domain(
        draw=_booking,
        frames=(
            "{name} booked room {room} in {city} for {guests} on {day}, "
            "with {extras}, {breakfast:with|without} breakfast.",
            "Room {room} in {city} with {extras} is for {name} from {day}, "
            "{guests} guests, {breakfast:with|without} breakfast.",
            "On {day} {name} arrives in {city}: room {room} for {guests}, "
            "{extras}, {breakfast:and|no} breakfast.",
        ),
    ),
    "contact": Domain(
        draw=_contact,
        frames=(
            "{name}, {age}, is a {married:married|single} {job} in {city}, "
            "speaks {languages}, phone {phone}.",
            "Call {phone} for {name}, a {married:married|single} {job} of {age} from {city} "
            "who speaks {languages}.",
            "The {job} {name} lives in {city}, is {age} and {married:married|single}, "
            "speaks {languages}, and answers at {phone}.",
        ),
    ),
    "weather": Domain(
        draw=_weather,
        frames=(
            "{day} in {city} will be {sky} with a high of {high} and a low of {low}, "
            "{warning:with a|no} warning.",
            "{city} expects a {sky} {day}, between {low} and {high} degrees, "
            "{warning:with a|no} warning.",
            "On {day} it is {sky} in {city}, at most {high} and at least {low} degrees, "
            "{warning:and a|no} warning.",
        ),
    ),
    "book": Domain(
        draw=_book,
        frames=(
            '"{title}" by {author} ({year}) has {pages} pages of {genres} '
            "and is {available:in stock|sold out}.",
            'In {year} {author} wrote "{title}", {pages} pages of {genres}, '
            "now {available:in stock|sold out}.",
            '{author}\'s "{title}", {genres}, {pages} pages from {year}, '
            "is {available:in stock|sold out}.",
        ),
    ),
}


class Records:
    """The task; a bin is a domain."""

    name: ClassVar[str] = "json"
    bins: ClassVar[tuple[str, ...]] = tuple(DOMAINS)

    def sample(self, rng: random.Random, *, split: Split, bin: str | None = None) -> Example:
        """A sentence, and 3 to 5 of the keys it gives a value to, in any order."""
        check_request(self, split=split, bin=bin)
        chosen = rng.choice(self.bins) if bin is None else bin
        domain = DOMAINS[chosen]
        while True:
            stated = domain.draw(rng)
            keys = rng.sample(tuple(stated), rng.randint(_FEWEST_KEYS, 5))
            record = {key: stated[key] for key in keys}
            canonical = f"{chosen} {json.dumps(record, sort_keys=True)}"
            if split_of(canonical) == split:
                break
        sentence = _fill(rng.choice(domain.frames), stated)
        return Example(
            task=self.name,
            prompt=f"Extract as JSON with keys {', '.join(keys)}: {sentence}",
            answer=json.dumps(record),
            bin=chosen,
            canonical=canonical,
        )

    def score(self, example: Example, text: str) -> Score:
        """Correct when `text` is the record as JSON: same keys and values, types too."""
        wanted = json.loads(example.answer)
        found = _parse(text)
        if found is None:
            return Score(correct=False, details={"valid": 0.0, "keys": 0.0, "fields": 0.0})
        right = sum(key in found and _same(found[key], value) for key, value in wanted.items())
        keys = found.keys() == wanted.keys()
        details = {"valid": 1.0, "keys": float(keys), "fields": right / len(wanted)}
        return Score(correct=keys and right == len(wanted), details=details)


_TEXT = {"type": "string", "maxLength": 40}
_TYPES: Mapping[type, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: _TEXT,
    list: {"type": "array", "items": _TEXT, "minItems": 1},
}


def schema_of(example: Example) -> dict[str, Any]:
    """The JSON schema of the record asked for: its keys in their order, and the type of each."""
    record = json.loads(example.answer)
    return {
        "type": "object",
        "properties": {key: _TYPES[type(value)] for key, value in record.items()},
        "required": list(record),
        "additionalProperties": False,
    }


def _fill(frame: str, record: Record) -> str:
    def value_of(match: re.Match[str]) -> str:
        value, words_of_flag = record[match[1]], match[2]
        if words_of_flag is not None:
            yes, no = words_of_flag[1:].split("|")
            return yes if value else no
        if isinstance(value, list):
            return value[0] if len(value) == 1 else ", ".join(value[:-1]) + " and " + value[-1]
        return str(value)

    return re.sub(r"\{(\w+)(:[^}]*)?\}", value_of, frame)


def _parse(text: str) -> dict[str, object] | None:
    if len(text) > _LONGEST:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _same(found: object, wanted: object) -> bool:
    """Equality that tells 1 from true and 1.0."""
    return json.dumps(found) == json.dumps(wanted)
