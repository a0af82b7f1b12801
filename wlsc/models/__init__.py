"""One model a file: autoencoders (``encode``, ``decode``, ``dictionary``), filter banks (``filters``, ``respond``)."""

from wlsc._lazy import lazy_names

_PUBLIC = {
    "ArchetypalAnalysis": "wlsc.models.archetypal_analysis",
    "ArchetypalAutoencoder": "wlsc.models.archetypal",
    "BatchTopKAutoencoder": "wlsc.models.batch_top_k",
    "CompleteDictionary": "wlsc.models.complete",
    "FilterBank": "wlsc.models._filter_bank",
    "GraphRegularizedNMF": "wlsc.models.graph_nmf",
    "HardThresholdAutoencoder": "wlsc.models.hard_threshold",
    "IndependentComponents": "wlsc.models.ica",
    "JumpReLUAutoencoder": "wlsc.models.jump_relu",
    "KMeansAutoencoder": "wlsc.models.k_means_autoencoder",
    "KMeansFilters": "wlsc.models.k_means",
    "LLDFilters": "wlsc.models.lld",
    "LinearGroupAutoencoder": "wlsc.models.linear_group",
    "MaskedSparseCoding": "wlsc.models.masked",
    "MatryoshkaAutoencoder": "wlsc.models.matryoshka",
    "PamAutoencoder": "wlsc.models.pam",
    "RotationTiedSparseCoding": "wlsc.models.rotation_tied",
    "SpaDEAutoencoder": "wlsc.models.spade",
    "SparseCodingAutoencoder": "wlsc.models.sparse_coding",
    "TopKAutoencoder": "wlsc.models.top_k",
    "UnrolledAutoencoder": "wlsc.models._unrolled",
    "WLSCAutoencoder": "wlsc.models.wlsc",
}

__all__ = [*_PUBLIC]

__getattr__, __dir__ = lazy_names("wlsc.models", _PUBLIC)
