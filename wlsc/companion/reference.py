"""What a book printed when it was accepted, and how far another build may be from it.

A reference, ``results/reference/PROFILE.json``, holds for each page and name what was printed, and an allowance: why it
may differ and by how much. The allowances follow from the rules in ``results/reference/tolerances.json``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import Any

from wlsc._io.files import write_text
from wlsc._io.tables import from_table
from wlsc._validation import check_choice
from wlsc.companion.printed import MARK, NUMBER, Printed

#: Why a number may differ from its reference. Times are not compared.
REASONS = ("exact", "float summation", "hardware", "seed spread", "time")

#: Page → name → ``text`` as printed, ``reason``, and ``digits`` or ``within`` if numbers need not be equal, or
#: ``compared`` if nothing is.
Entries = Mapping[str, Mapping[str, Mapping[str, Any]]]

_RANGE = re.compile(rf"\[({NUMBER.pattern}), ({NUMBER.pattern})\]|({NUMBER.pattern}) to ({NUMBER.pattern})")
_DEVIATION = re.compile(rf"± ({NUMBER.pattern})")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Says how far what is printed may be from its reference; of several the first that applies.

    Attributes
    ----------
    page, names
        What the rule is for: patterns with ``*``.
    reason
        One of `REASONS`.
    within
        "nothing"; "N digits", units of the last digit of each number; "N %" of the largest number, or of the range of a
        column of figure data; "spread", the widest one over seeds that is printed in that place, or else in its column;
        "count", three standard deviations of a count as large as the largest number, if each that is counted is there
        or not by chance (Poisson); a number; or "anything", where nothing is compared.
    why
        For readers.
    """

    page: str
    names: list[str]
    reason: str
    within: str
    why: str

    def applies(self, page: str, name: str) -> bool:
        """Tell whether the rule is for what ``page`` prints under ``name``."""
        return fnmatchcase(page, self.page) and any(fnmatchcase(name, pattern) for pattern in self.names)


def read_rules(path: Path) -> list[Rule]:
    """Read rules.

    Raises
    ------
    ValueError
        If a key or a reason is unknown.
    """
    tables = json.loads(path.read_text(encoding="utf-8"))["rules"]
    rules = [from_table(Rule, table, str(path)) for table in tables]
    for rule in rules:
        check_choice(f"{path}: reason", rule.reason, REASONS)
    return rules


def make_entries(book: Mapping[str, Sequence[Printed]], rules: Sequence[Rule]) -> Entries:
    """Give everything that a book prints its allowance."""
    return {page: {one.name: _entry(page, one, prints, rules) for one in prints} for page, prints in book.items()}


def _entry(page: str, one: Printed, prints: Sequence[Printed], rules: Sequence[Rule]) -> dict[str, Any]:
    if one.text == MARK:
        return {"text": MARK, "reason": "time", "compared": False}
    rule = next(rule for rule in rules if rule.applies(page, one.name))
    return {"text": one.text, "reason": rule.reason} | _allowance(rule.within, one, prints)


def _allowance(within: str, one: Printed, prints: Sequence[Printed]) -> dict[str, Any]:
    match within.split():
        case ["nothing"]:
            return {}
        case ["anything"]:
            return {"compared": False}
        case [count, "digit" | "digits"]:
            return {"digits": int(count)}
        case [share, "%"]:
            return {"within": _rounded(float(share) / 100 * _size(one.text))}
        case ["spread"]:
            column = [other.text for other in prints if other.column == one.column != ""]
            spread = _spread(one.text) or max(map(_spread, column), default=0.0)
            return {"within": _rounded(spread)} if spread else {"digits": 1}
        case ["count"]:
            return {"within": _rounded(3 * math.sqrt(_size(one.text)))}
        case [number]:
            return {"within": float(number)}
    raise ValueError(f"within must be nothing, anything, N digits, N %, spread, count or a number, got {within!r}")


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def _size(text: str) -> float:
    """Range of a column of figure data, if it has one; else the largest number."""
    numbers = [_value(token) for token in NUMBER.findall(text)]
    if text.startswith("mean ") and numbers[3] > numbers[2]:
        return numbers[3] - numbers[2]
    return max(map(abs, numbers), default=0.0)


def _spread(text: str) -> float:
    """The widest spread that a text prints: from the least to the most, or three standard deviations."""
    ends = [[_value(token) for token in found if token] for found in _RANGE.findall(text)]
    deviations = [3 * _value(token) for token in _DEVIATION.findall(text)]
    return max([*(high - low for low, high in ends), *deviations], default=0.0)


def _value(token: str) -> float:
    return float(_plain(token))


def _plain(token: str) -> str:
    return token.replace(",", "").replace("−", "-")


def _last_digit(token: str) -> float:
    return float(Decimal(1).scaleb(int(Decimal(_plain(token)).as_tuple().exponent)))


@dataclass(frozen=True)
class Comparison:
    """How a book agrees with its reference.

    Attributes
    ----------
    n_numbers
        Numbers compared, by the reason for their tolerance.
    n_identical
        Those among them that are printed in the same digits.
    n_not_compared
        Places that are listed and not compared.
    drifts
        A sentence for each place that is off, missing, or new.
    """

    n_numbers: dict[str, int]
    n_identical: int
    n_not_compared: int
    drifts: list[str]

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.n_numbers.items())
        compared = f"{sum(self.n_numbers.values()):,} numbers compared ({reasons})"
        others = f"{self.n_identical:,} of them identical, {self.n_not_compared} places not compared"
        return f"{compared}, {others}. Drifts: {len(self.drifts)}."


def compare(book: Mapping[str, Sequence[Printed]], entries: Entries) -> Comparison:
    """Compare everything that a book prints with a reference."""
    n_numbers = dict.fromkeys(REASONS[:-1], 0)
    n_identical, n_not_compared, drifts = 0, 0, []
    for page in sorted({*book, *entries}):
        printed = {one.name: one.text for one in book.get(page, ())}
        known = entries.get(page, {})
        for name, entry in known.items():
            if not entry.get("compared", True):
                n_not_compared += 1
            else:
                pairs = zip_longest(NUMBER.findall(printed.get(name, "")), NUMBER.findall(entry["text"]))
                same = [new == old for new, old in pairs if old is not None]
                n_numbers[entry["reason"]] += len(same)
                n_identical += sum(same)
        drifts += [f"{page}: {sentence}" for sentence in _drifts(printed, known)]
    return Comparison(n_numbers, n_identical, n_not_compared, drifts)


def _drifts(printed: Mapping[str, str], known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name in dict.fromkeys([*known, *printed]):
        if name not in printed:
            yield f"{name} is no longer printed, and was {known[name]['text']}"
        elif name not in known:
            yield f"{name} is {printed[name]}, and was not printed before"
        elif known[name].get("compared", True) and (reason := _difference(printed[name], known[name])):
            yield f"{name} is {printed[name]}, and was {known[name]['text']}: {reason}"


def _difference(text: str, entry: Mapping[str, Any]) -> str:
    """Say what is wrong with a text: other words, or the number that is farthest beyond what is allowed; or nothing."""
    if NUMBER.split(text) != NUMBER.split(entry["text"]):
        return "other words"
    worst = (0.0, "")
    for new, old in zip(NUMBER.findall(text), NUMBER.findall(entry["text"]), strict=True):
        off = abs(_value(new) - _value(old))
        allowed = entry.get("within", 0.0) + entry.get("digits", 0) * _last_digit(old)
        beyond = off - allowed * (1 + 1e-9)  # decimals are not exact in binary
        if beyond > 1e-12 * abs(_value(old)):
            worst = max(worst, (beyond, f"off by {off:.2g}, where {allowed:.2g} is allowed ({entry['reason']})"))
    return worst[1]


def list_changes(old: Entries, new: Entries) -> list[str]:
    """Say in a line each where a new reference differs from an old one."""
    lines = []
    for page in sorted({*old, *new}):
        before, after = old.get(page, {}), new.get(page, {})
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name):
                lines.append(f"{page}: {name}: {_said(before.get(name))} → {_said(after.get(name))}")
    return lines


def _said(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "nothing"
    allowed = "".join(f", {key} {entry[key]}" for key in ("digits", "within") if key in entry)
    return f"{entry['text']} ({entry['reason']}{allowed})"


def read_reference(path: Path) -> dict[str, Any]:
    """Read a reference: what was ``accepted`` why and from where, and ``pages``, its entries.

    Raises
    ------
    ValueError
        If none has been accepted.
    """
    if not path.exists():
        raise ValueError(f"reference must have been accepted before (make accept), got no file {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def write_reference(path: Path, accepted: Mapping[str, Any], entries: Entries) -> None:
    """Write a reference, an entry a line, so that version control shows what has changed."""
    pages = [f"  {_json(page)}: {{\n{_lines(known)}\n  }}" for page, known in entries.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f'{{\n "accepted": {_json(accepted)},\n "pages": {{\n' + ",\n".join(pages) + "\n }\n}\n")


def _lines(known: Mapping[str, Any]) -> str:
    return ",\n".join(f"   {_json(name)}: {_json(entry)}" for name, entry in known.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
