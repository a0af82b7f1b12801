"""TOML tables as dataclasses: unknown keys refused with the nearest known one, values of the wrong kind by name."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file that holds ``what``.

    Raises
    ------
    ValueError
        If the file is missing or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ValueError(f"{what} must be a TOML file, got {path}, which does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{what} must be valid TOML, got {path}: {error}") from None


def from_table(kind: type, table: Any, where: str) -> Any:
    """Make the dataclass ``kind`` of a table; ``where`` names the table in messages.

    Fields may be text, numbers, lists of these, dataclasses, dictionaries of dataclasses, or free tables; each may be
    None if it is left out.

    Raises
    ------
    ValueError
        If ``table`` is none, a key is unknown or missing, or a value is of the wrong kind.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"{where} must be a table, got {table!r}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in table:
        if key not in fields:
            raise ValueError(f"{where} must have keys among {', '.join(fields)}, got {key}{suggestion(key, fields)}")
    types, values = get_type_hints(kind), {}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise ValueError(f"{where} must have the key {name}, got only {', '.join(table) or 'nothing'}")
        if name in table:
            values[name] = _converted(table[name], types[name], f"{where}: {name}")
    return kind(**values)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Say which of the ``known`` names may have been meant, or nothing."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _converted(value: Any, kind: Any, where: str) -> Any:
    if isinstance(kind, UnionType):  # a field that may be left out; TOML has no None
        (kind,) = (member for member in get_args(kind) if member is not NoneType)
    if kind is float and type(value) is int:
        return float(value)
    if get_origin(kind) is list:
        if type(value) is not list:
            raise ValueError(f"{where} must be a list, got {value!r}")
        return [_converted(entry, get_args(kind)[0], where) for entry in value]
    is_table = dataclasses.is_dataclass(kind) or get_origin(kind) is dict
    if type(value) is not (dict if is_table else kind):
        raise ValueError(f"{where} must be {'a table' if is_table else f'of type {kind.__name__}'}, got {value!r}")
    if dataclasses.is_dataclass(kind):
        return from_table(kind, value, where)  # type: ignore[arg-type]
    if is_table and get_args(kind)[1] is not Any:
        return {name: _converted(entry, get_args(kind)[1], f"{where}.{name}") for name, entry in value.items()}
    return value
