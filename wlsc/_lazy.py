"""What is imported when it is first used: public names, and libraries that leave a trace."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, public: Mapping[str, str], submodules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` for a package.

    Parameters
    ----------
    package
        Name of the package.
    public
        Public name → module that defines it.
    submodules
        Modules of the package that are reached as its attributes.
    """

    def get_attribute(name: str) -> Any:
        if name in public:
            return getattr(import_module(public[name]), name)
        if name in submodules:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def list_names() -> list[str]:
        return sorted([*public, *submodules])

    return get_attribute, list_names


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Keep Python's global `random` as it is while scikit-learn is imported: rich, which that loads, draws from it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
