from wlsc.models._filter_bank import FilterBank as FilterBank
from wlsc.models._unrolled import UnrolledAutoencoder as UnrolledAutoencoder
from wlsc.models.hard_threshold import HardThresholdAutoencoder as HardThresholdAutoencoder
from wlsc.models.ica import IndependentComponents as IndependentComponents
from wlsc.models.k_means import KMeansFilters as KMeansFilters
from wlsc.models.lld import LLDFilters as LLDFilters
from wlsc.models.sparse_coding import SparseCodingAutoencoder as SparseCodingAutoencoder
from wlsc.models.wlsc import WLSCAutoencoder as WLSCAutoencoder

__all__: list[str]
