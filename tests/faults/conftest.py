"""The misbehaving server and the throw-away caches of the tests of the registry."""

from tests.datasets.conftest import cache, make_registry, refused_url, server

__all__ = ["cache", "make_registry", "refused_url", "server"]
