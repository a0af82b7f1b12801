"""One model a file, each an autoencoder: ``encode``, ``decode``, ``dictionary``."""

from wlsc._lazy import lazy_names

_PUBLIC = {
    "SparseCodingAutoencoder": "wlsc.models.sparse_coding",
    "WLSCAutoencoder": "wlsc.models.wlsc",
}

__all__ = [*_PUBLIC]

__getattr__, __dir__ = lazy_names("wlsc.models", _PUBLIC)
