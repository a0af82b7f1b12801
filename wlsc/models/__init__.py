"""One model a file: autoencoders (``encode``, ``decode``, ``dictionary``), filter banks (``filters``, ``respond``)."""

from wlsc._lazy import lazy_names

_PUBLIC = {
    "FilterBank": "wlsc.models._filter_bank",
    "HardThresholdAutoencoder": "wlsc.models.hard_threshold",
    "IndependentComponents": "wlsc.models.ica",
    "KMeansFilters": "wlsc.models.k_means",
    "LLDFilters": "wlsc.models.lld",
    "SparseCodingAutoencoder": "wlsc.models.sparse_coding",
    "UnrolledAutoencoder": "wlsc.models._unrolled",
    "WLSCAutoencoder": "wlsc.models.wlsc",
}

__all__ = [*_PUBLIC]

__getattr__, __dir__ = lazy_names("wlsc.models", _PUBLIC)
