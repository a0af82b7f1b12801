"""What a book printed when it was accepted, and how far another build may be from it.

A reference, ``results/reference/PROFILE.json``, holds for each page and name what was printed, and an allowance: why it
may differ and by how much. Which places must be exact and which are not compared is said by the rules in
``results/reference/tolerances.json``; for all others the allowance follows from what another arithmetic was seen to
change (``results/processors.json``, see `wlsc.companion.processors`) and from the spread over seeds that is printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import Any

from wlsc._io.files import write_text
from wlsc._io.tables import from_table
from wlsc._validation import check_choice
from wlsc.companion.printed import MARK, NUMBER, Printed, last_digit, value_of

#: Why a number may differ from its reference, or need not be like it at all.
REASONS = ("exact", "float summation", "hardware", "seed spread", "not compared")

#: Page → name → by how much each number of that place moved at most under another arithmetic.
Movements = Mapping[str, Mapping[str, Sequence[float]]]

#: Page → name → ``text`` as printed, ``reason``, and ``within``, an allowance for each number, if they need not be
#: equal, or ``compared`` if nothing is.
Entries = Mapping[str, Mapping[str, Mapping[str, Any]]]

#: Of the files; an older one has other allowances.
_FORMAT = 2

#: How far a number may be from its reference, as rules say it.
WITHIN = ("nothing", "measured", "anything")

#: Allowed is so many times what another arithmetic was seen to change: half a dozen kinds of it are not all there are.
_FACTOR = 3.0

#: A training ends in another minimum, as with another seed, where a number moves by more than this share of its size.
_ANOTHER_MINIMUM = 0.02

_RANGE = re.compile(rf"\[({NUMBER.pattern}), ({NUMBER.pattern})\]|({NUMBER.pattern}) to ({NUMBER.pattern})")
_DISTRIBUTION = re.compile(r"mean \S+, deviation \S+, least \S+, most \S+$")
_DEVIATION = re.compile(rf"± ({NUMBER.pattern})")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Says how far what is printed may be from its reference; of several the first that applies.

    Attributes
    ----------
    page, names
        What the rule is for: patterns with ``*``.
    within
        One of `WITHIN`: "nothing", "measured" (see `make_entries`), or "anything", where nothing is compared.
    why
        For readers.
    """

    page: str
    names: list[str]
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
        If a key is unknown, or what is allowed.
    """
    tables = json.loads(path.read_text(encoding="utf-8"))["rules"]
    rules = [from_table(Rule, table, str(path)) for table in tables]
    for rule in rules:
        check_choice(f"{path}: within", rule.within, WITHIN)
    return rules


def find_rule(rules: Sequence[Rule], page: str, name: str) -> Rule:
    """The rule that decides how far what ``page`` prints under ``name`` may be from its reference."""
    return next(rule for rule in rules if rule.applies(page, name))


def make_entries(book: Mapping[str, Sequence[Printed]], rules: Sequence[Rule], moved: Movements) -> Entries:
    """Give everything that a book prints its allowance.

    What is measured may differ by the largest of

    - one unit of the last digit printed ("float summation"),
    - three times the most by which a number in the same place of its column moved under another arithmetic, and the
      share of its size by which nine tenths of all numbers of its page moved at most ("hardware"),
    - where a number of its column moved by more than 2 % of its size, so that rounding sends a training to another
      minimum, as another seed does: the widest spread over seeds that is printed in that place, or else in its column
      ("seed spread").

    Parameters
    ----------
    book
        What each page prints.
    rules
        The first that applies to a place decides.
    moved
        What another arithmetic was seen to change.
    """
    return {page: _entries(page, prints, rules, moved.get(page, {})) for page, prints in book.items()}


def _entries(
    page: str, prints: Sequence[Printed], rules: Sequence[Rule], moved: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, Any]]:
    shares = [share for one in prints if one.text != MARK for share in _shares(one, moved)]
    usual = sorted(shares)[int(0.9 * len(shares))] if shares else 0.0
    columns: dict[str, list[Printed]] = {}
    for one in prints:
        columns.setdefault(one.column or one.name, []).append(one)
    found = {}
    for one in prints:
        within = "anything" if one.text == MARK else find_rule(rules, page, one.name).within
        if within == "anything":
            found[one.name] = {"text": one.text, "reason": "not compared", "compared": False}
        elif within == "nothing" or not NUMBER.search(one.text):
            found[one.name] = {"text": one.text, "reason": "exact"}
        else:
            found[one.name] = {"text": one.text} | _allowance(one, columns[one.column or one.name], moved, usual)
    return found


def _shares(one: Printed, moved: Mapping[str, Sequence[float]]) -> list[float]:
    """By which share of its size each number of a place moved."""
    sizes = _sizes(one.text)
    most = moved.get(one.name, [0.0] * len(sizes))
    return [move / size if size else 0.0 for move, size in zip(most, sizes, strict=False)]


def _allowance(
    one: Printed, column: Sequence[Printed], moved: Mapping[str, Sequence[float]], usual: float
) -> dict[str, Any]:
    tokens, sizes = NUMBER.findall(one.text), _sizes(one.text)
    alike = [most for other in column if len(most := moved.get(other.name, ())) == len(tokens)]
    largest = [max(moves) for moves in zip(*alike, strict=True)] if alike else [0.0] * len(tokens)
    digits = [last_digit(token) for token in tokens]
    hardware = [max(_FACTOR * most, usual * size) for most, size in zip(largest, sizes, strict=True)]
    spread = 0.0
    if any(share > _ANOTHER_MINIMUM for other in column for share in _shares(other, moved)):
        spread = _spread(one.text) or max((_spread(other.text) for other in column), default=0.0)
    allowed = [max(digit, wide, spread) for digit, wide in zip(digits, hardware, strict=True)]
    reason = "float summation"
    if spread and any(spread >= wide for wide in hardware):
        reason = "seed spread"
    elif any(wide > digit for digit, wide in zip(digits, hardware, strict=True)):
        reason = "hardware"
    return {"reason": reason, "within": [_rounded(value) for value in allowed]}


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def _sizes(text: str) -> list[float]:
    """Size of each number; of a column of figure data the range of the column, if it has one."""
    numbers = [value_of(token) for token in NUMBER.findall(text)]
    if _DISTRIBUTION.match(text) and len(numbers) == 4 and numbers[3] > numbers[2]:
        return [numbers[3] - numbers[2]] * len(numbers)
    return [abs(number) for number in numbers]


def _spread(text: str) -> float:
    """The widest spread that a text prints: from the least to the most, or three standard deviations."""
    ends = [[value_of(token) for token in found if token] for found in _RANGE.findall(text)]
    deviations = [3 * value_of(token) for token in _DEVIATION.findall(text)]
    return max([*(high - low for low, high in ends), *deviations], default=0.0)


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

    def counts(self) -> dict[str, int]:
        """How many numbers were compared, have the same digits, or differ as they may; and how many places drifted."""
        total = sum(self.n_numbers.values())
        within = total - self.n_identical - len(self.drifts)
        return {"numbers": total, "identical": self.n_identical, "within": max(within, 0), "drifted": len(self.drifts)}

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
    free = _free_tables(known)
    for name in dict.fromkeys([*known, *printed]):
        if name.partition(": ")[0] in free:
            continue
        if name not in printed:
            yield f"{name} is no longer printed, and was {known[name]['text']}"
        elif name not in known:
            yield f"{name} is {printed[name]}, and was not printed before"
        elif known[name].get("compared", True) and (reason := _difference(printed[name], known[name])):
            yield f"{name} is {printed[name]}, and was {known[name]['text']}: {reason}"


def _free_tables(known: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Tables of which nothing is compared: their rows may come and go."""
    tables = {name.partition(": ")[0] for name in known if " | " in name}
    return tables - {name.partition(": ")[0] for name, entry in known.items() if entry.get("compared", True)}


def _difference(text: str, entry: Mapping[str, Any]) -> str:
    """Say what is wrong with a text: other words, or the number that is farthest beyond what is allowed; or nothing."""
    if NUMBER.split(text) != NUMBER.split(entry["text"]):
        return "other words"
    worst = (0.0, "")
    tokens = NUMBER.findall(entry["text"])
    allowances = entry.get("within", [0.0] * len(tokens))
    for new, old, allowed in zip(NUMBER.findall(text), tokens, allowances, strict=True):
        off = abs(value_of(new) - value_of(old))
        beyond = off - allowed * (1 + 1e-9)  # decimals are not exact in binary
        if beyond > 1e-12 * abs(value_of(old)):
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
    allowed = f", within {', '.join(map(str, entry['within']))}" if "within" in entry else ""
    return f"{entry['text']} ({entry['reason']}{allowed})"


def read_reference(path: Path) -> dict[str, Any]:
    """Read a reference: what was ``accepted`` why and from where, and ``pages``, its entries.

    Raises
    ------
    ValueError
        If none has been accepted, or the file is no reference.
    """
    if not path.exists():
        raise ValueError(f"reference must have been accepted before (make accept), got no file {path}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"reference must be JSON, got {path}: {error}") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        kept = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"reference must have format {_FORMAT} (make accept writes it), got {kept} in {path}")
    return found


def old_entries(path: Path) -> Entries:
    """Entries of the reference that a new one takes the place of; nothing if there is none, or one of an older form."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["pages"] if found.get("format") == _FORMAT else {}


def write_reference(path: Path, accepted: Mapping[str, Any], entries: Entries) -> None:
    """Write a reference, an entry a line, so that version control shows what has changed."""
    pages = [f"  {_json(page)}: {{\n{_lines(known)}\n  }}" for page, known in entries.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(
        path,
        f'{{\n "format": {_FORMAT},\n "accepted": {_json(accepted)},\n "pages": {{\n' + ",\n".join(pages) + "\n }\n}\n",
    )


def _lines(known: Mapping[str, Any]) -> str:
    return ",\n".join(f"   {_json(name)}: {_json(entry)}" for name, entry in known.items())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
