from wlsc.models._filter_bank import FilterBank as FilterBank
from wlsc.models._unrolled import UnrolledAutoencoder as UnrolledAutoencoder
from wlsc.models.archetypal import ArchetypalAutoencoder as ArchetypalAutoencoder
from wlsc.models.archetypal_analysis import ArchetypalAnalysis as ArchetypalAnalysis
from wlsc.models.batch_top_k import BatchTopKAutoencoder as BatchTopKAutoencoder
from wlsc.models.complete import CompleteDictionary as CompleteDictionary
from wlsc.models.graph_nmf import GraphRegularizedNMF as GraphRegularizedNMF
from wlsc.models.hard_threshold import HardThresholdAutoencoder as HardThresholdAutoencoder
from wlsc.models.ica import IndependentComponents as IndependentComponents
from wlsc.models.jump_relu import JumpReLUAutoencoder as JumpReLUAutoencoder
from wlsc.models.k_means import KMeansFilters as KMeansFilters
from wlsc.models.k_means_autoencoder import KMeansAutoencoder as KMeansAutoencoder
from wlsc.models.linear_group import LinearGroupAutoencoder as LinearGroupAutoencoder
from wlsc.models.lld import LLDFilters as LLDFilters
from wlsc.models.masked import MaskedSparseCoding as MaskedSparseCoding
from wlsc.models.matryoshka import MatryoshkaAutoencoder as MatryoshkaAutoencoder
from wlsc.models.pam import PamAutoencoder as PamAutoencoder
from wlsc.models.rotation_tied import RotationTiedSparseCoding as RotationTiedSparseCoding
from wlsc.models.spade import SpaDEAutoencoder as SpaDEAutoencoder
from wlsc.models.sparse_coding import SparseCodingAutoencoder as SparseCodingAutoencoder
from wlsc.models.top_k import TopKAutoencoder as TopKAutoencoder
from wlsc.models.wlsc import WLSCAutoencoder as WLSCAutoencoder

__all__: list[str]
