"""Options that belong together: a dataclass of them is one parameter of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer reads it: a parameter that is a dataclass stands for its fields, each
    an option with the field's annotation and default, in their order."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    options: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind) and isinstance(kind, type):
            groups[parameter.name] = kind
            options += of_group(kind)
        else:
            options.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind))

    def call(**values: Any) -> None:
        command(**gathered(values, groups))

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__module__ = command.__module__
    call.__annotations__ = {option.name: option.annotation for option in options}
    call.__signature__ = Signature(options)  # type: ignore[attr-defined]
    return call


def of_group(group: type[Any]) -> Iterator[Parameter]:
    """The options of a dataclass."""
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = Parameter.empty if field.default is MISSING else field.default
        yield Parameter(
            field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )


def gathered(values: Mapping[str, Any], groups: Mapping[str, type[Any]]) -> dict[str, Any]:
    """Values by option, put together by parameter. Raises what the dataclasses do."""
    rest, made = dict(values), dict[str, Any]()
    for name, group in groups.items():
        made[name] = group(**{field.name: rest.pop(field.name) for field in fields(group)})
    return rest | made
