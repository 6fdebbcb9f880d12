"""The contents of strings: lengths, patterns and formats."""

from __future__ import annotations

from canvaslm.control.language.nodes import Letters, Node, both, repeat
from canvaslm.control.language.notation import FREE_LETTERS
from canvaslm.control.language.regex import parse_regex

_NEWLINES = "\n\r\u2028\u2029"  # what `.` leaves out in ECMAScript

_MONTH_AND_DAY = (
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_LEAP_YEAR = "([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)"
_DATE = f"([12][0-9]{{3}}-{_MONTH_AND_DAY}|{_LEAP_YEAR}-02-29)"  # the years 1000 to 2999
_HOUR = "([01][0-9]|2[0-3])"
_TIME = rf"{_HOUR}:[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_HOUR}:[0-5][0-9])"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
_ATOM = "[A-Za-z0-9_%+-]{1,32}"

FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "email": rf"{_ATOM}(\.{_ATOM})?@({_LABEL}\.){{1,3}}[A-Za-z]{{2,12}}",
    "ipv4": rf"({_OCTET}\.){{3}}{_OCTET}",
}


def string_content(
    *,
    least: int = 0,
    most: int | None = None,
    pattern: str | None = None,
    format: str | None = None,
) -> Node:
    """Strings of `least` to `most` characters within which `pattern` matches, of a format.

    Raises ConstraintError for a pattern that is not supported.
    """
    found: Node | None = None
    if format is not None:
        found = parse_regex(FORMATS[format])
    if pattern is not None:
        within = parse_regex(pattern, search=True, free=FREE_LETTERS, newlines=_NEWLINES)
        found = both(found, within)
    if found is None or least or most is not None:
        found = both(found, repeat(Letters(FREE_LETTERS), least, most))
    return found
