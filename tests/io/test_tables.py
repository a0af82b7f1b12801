"""TOML tables become dataclasses, or one sentence says what is wrong with them."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from wlsc._io.tables import from_table, read_toml


@dataclass(frozen=True)
class Inner:
    size: int
    weight: float = 1.0


@dataclass(frozen=True)
class Outer:
    title: str
    inner: Inner
    named: dict[str, Inner] = field(default_factory=dict)
    several: list[Inner] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    free: dict[str, Any] = field(default_factory=dict)


def test_a_nested_table_is_read():
    table = {
        "title": "x",
        "inner": {"size": 2},
        "named": {"a": {"size": 1, "weight": 3}},
        "several": [{"size": 5}],
        "numbers": [1, 2.5],
        "free": {"anything": [1]},
    }
    assert from_table(Outer, table, "file") == Outer(
        "x", Inner(2, 1.0), {"a": Inner(1, 3.0)}, [Inner(5)], [1.0, 2.5], {"anything": [1]}
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"title": "x", "inner": {"size": 2}, "nammed": {}}, r"file must have keys among .* got nammed"),
        ({"inner": {"size": 2}}, r"file must have the key title, got only inner"),
        ({"title": 3, "inner": {"size": 2}}, r"file: title must be of type str, got 3"),
        ({"title": "x", "inner": 3}, r"file: inner must be a table, got 3"),
        ({"title": "x", "inner": {"size": True}}, r"file: inner: size must be of type int, got True"),
        ({"title": "x", "inner": {"size": 1}, "numbers": 4}, r"file: numbers must be a list, got 4"),
        ({"title": "x", "inner": {"size": 1}, "several": [{"sise": 4}]}, r"several must have keys .* got sise"),
        ({"title": "x", "inner": {"size": 1}, "named": {"a": 4}}, r"file: named.a must be a table, got 4"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        from_table(Outer, table, "file")


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"study must be a TOML file, got .*none\.toml, which does not exist"):
        read_toml(tmp_path / "none.toml", "study")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [", encoding="utf-8")
    with pytest.raises(ValueError, match=r"study must be valid TOML, got .*broken\.toml"):
        read_toml(broken, "study")
