"""One model a file: autoencoders (``encode``, ``decode``, ``dictionary``), filter banks (``filters``, ``respond``)."""

from wlsc._lazy import lazy_names

_PUBLIC = {
    "HardThresholdAutoencoder": "wlsc.models.hard_threshold",
    "IndependentComponents": "wlsc.models.ica",
    "KMeansFilters": "wlsc.models.k_means",
    "LLDFilters": "wlsc.models.lld",
    "SparseCodingAutoencoder": "wlsc.models.sparse_coding",
    "WLSCAutoencoder": "wlsc.models.wlsc",
}

__all__ = [*_PUBLIC]

__getattr__, __dir__ = lazy_names("wlsc.models", _PUBLIC)
