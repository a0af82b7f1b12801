"""Does a graph of atoms give a map? Spatial autocorrelation on graphs and on sheets, layouts, and pinwheels.

A *map* says that units which lie close to one another are alike. The graph of atoms, joined by the samples that they
share, can be asked without a sheet: Moran's I takes the graph's own weights for closeness. A sheet adds a layout, which
decides much of what one sees; the layouts here are given similarities alone, never filters.

A property of n units is real or complex, shape (n,), or several numbers a unit, shape (n, n_numbers). An axis that is
defined up to half a turn, such as orientation θ, is the complex number e^{2iθ} (`axial`), a position x + iy, and a
class a 1 among zeros. Two units are as alike as Re Σ z_i z̄_j, summed over their numbers.

A sheet has (rows, columns) cells, of which each holds one unit or none; ``places`` are integers, shape (n, 2).

References
----------
P. A. P. Moran, Notes on continuous stochastic phenomena, Biometrika 37 (1950) 17–23.
A. D. Cliff, J. K. Ord, Spatial Processes: Models and Applications (1981).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from wlsc._validation import Array, check_count, check_positive, to_torch
from wlsc.analysis.clustering import read_matrix
from wlsc.analysis.gabor import check_filters

if TYPE_CHECKING:
    from wlsc.analysis._swaps import Sheet

#: Reach of the Gaussian of the swap layout in standard deviations; beyond it the Gaussian is taken for 0.
_REACH = 3.0

#: Share of the cells that a kick shuffles.
_KICKED = 0.05

#: Dimensions of the spectral embedding that t-SNE is given.
_N_SPECTRAL = 10

#: Fewest units that t-SNE is asked to lay out: its perplexity needs so many neighbours.
_FEWEST_FOR_TSNE = 16

#: Units from which on Lanczos iterations are faster than all eigenvectors.
_FEWEST_FOR_LANCZOS = 500

#: Values that are permuted at a time.
_MOST_PERMUTED = 2**22


class Moran(NamedTuple):
    """Moran's I, and where it lies among permutations of the units.

    Attributes
    ----------
    statistic
        I.
    expected
        Its mean over all permutations, −1/(n − 1).
    permuted
        I of each permutation, shape (n_permutations,).
    """

    statistic: float
    expected: float
    permuted: np.ndarray

    @property
    def z(self) -> float:
        """Distance of I from the mean of the permutations in their standard deviations."""
        return float((self.statistic - self.permuted.mean()) / self.permuted.std(ddof=1))

    @property
    def p_value(self) -> float:
        """Share of permutations that are at least as ordered, the data counted as one of them: never 0."""
        return float((1 + (self.permuted >= self.statistic).sum()) / (1 + len(self.permuted)))


class Layout(NamedTuple):
    """Where the units lie on a sheet.

    Attributes
    ----------
    places
        Row and column of each unit, integers, shape (n_units, 2).
    n_parts
        Number of connected parts of the graph. More than one: each was laid out by itself, and how they lie to one
        another has no meaning.
    """

    places: np.ndarray
    n_parts: int


class Profile(NamedTuple):
    """How alike units are at each distance on a sheet.

    Attributes
    ----------
    distances
        Mean distance of the pairs of each bin, in cells, shape (n_bins,).
    similarity
        Mean of Re(z_i z̄_j) over the pairs of each bin, z of mean 0 and mean square 1, shape (n_bins,).
    low, high
        2.5 % and 97.5 % quantiles of the same when the units are permuted, shape (n_bins,).
    """

    distances: np.ndarray
    similarity: np.ndarray
    low: np.ndarray
    high: np.ndarray


def axial(angle_deg: Any, period_deg: float = 180.0) -> np.ndarray:
    """Angles that repeat after ``period_deg`` as complex numbers of modulus 1: e^{2iθ} for orientations."""
    return np.exp(2j * np.pi * np.asarray(angle_deg, dtype=float) / period_deg)


def code_graph(codes: Any) -> np.ndarray:
    """Graph of atoms joined by the samples that they share, D^(-1/2) G D^(-1/2).

    G = |codes|ᵀ|codes| without its diagonal, which says how often an atom is used and nothing of its neighbours; D
    holds the row sums of G. Of codes of both signs the magnitudes count: a filter and its negative are one unit.

    Parameters
    ----------
    codes
        Shape (n_samples, n_atoms): NumPy array, torch tensor, or any SciPy sparse array.

    Returns
    -------
    numpy.ndarray
        Symmetric, float64, shape (n_atoms, n_atoms); the row of an atom without neighbours is 0.

    Raises
    ------
    ValueError
        If the codes are not finite, or no sample uses two atoms, so that there is no graph.
    """
    matrix = read_matrix("codes", codes)
    weights = abs(matrix if not isinstance(matrix, torch.Tensor) else matrix.cpu().double().numpy()).astype(float)
    coupling = weights.T @ weights
    graph = coupling if isinstance(coupling, np.ndarray) else coupling.toarray()
    np.fill_diagonal(graph, 0)
    degrees = graph.sum(axis=1)
    if not degrees.any():
        raise ValueError("codes must use at least two atoms in some row, got codes without a graph")
    scale = np.where(degrees > 0, degrees, np.inf) ** -0.5
    return graph * scale * scale[:, None]


def class_shares(codes: Any, labels: Any) -> np.ndarray:
    """Share of each class among the samples of each atom, weighted by their codes.

    The graph of the same codes is no fair question to ask about them: take codes of other samples.

    Parameters
    ----------
    codes
        Non-negative, shape (n_samples, n_atoms): NumPy array, torch tensor, or any SciPy sparse array.
    labels
        Class of each sample, shape (n_samples,).

    Returns
    -------
    numpy.ndarray
        Shape (n_atoms, n_classes), rows of sum 1, classes in the order of their labels; NaN for an atom without a
        sample.

    Raises
    ------
    ValueError
        If the codes are negative somewhere or not finite, or there is not a label for each sample.
    """
    weights = read_matrix("codes", codes)
    weights = weights.cpu().double().numpy() if isinstance(weights, torch.Tensor) else weights
    if weights.min() < 0:
        raise ValueError(f"codes must be non-negative, got {weights.min()}")
    classes, of_sample = np.unique(np.asarray(labels), return_inverse=True)
    if of_sample.shape != (weights.shape[0],):
        raise ValueError(f"labels must have shape ({weights.shape[0]},), got {np.shape(labels)}")
    sums = np.asarray(weights.T @ np.eye(len(classes))[of_sample])
    totals = sums.sum(axis=1, keepdims=True)
    return np.where(totals > 0, sums / np.where(totals > 0, totals, 1), np.nan)


def filter_cosines(filters: Array) -> np.ndarray:
    """|cosine| between filters (n_filters, n_pixels), with a diagonal of zeros, shape (n_filters, n_filters).

    Raises
    ------
    ValueError
        If the filters are not finite, or one of them is 0.
    """
    return _cosines(to_torch("filters", filters, ndim=2).double().cpu().numpy())


def spectrum_cosines(filters: Array, patch_shape: tuple[int, int]) -> np.ndarray:
    """Cosine between the filters' amplitude spectra, with a diagonal of zeros, shape (n_filters, n_filters).

    The spectra are those of the discrete Fourier transform, less their mean over the filters: they know orientation
    and frequency, and neither phase nor position. Negative cosines count as 0.

    Parameters
    ----------
    filters
        Shape (n_filters, height * width).
    patch_shape
        (height, width) in pixels.

    Raises
    ------
    ValueError
        If the filters are not finite or do not have height · width features, or all have one spectrum.
    """
    values, shape = check_filters(filters, patch_shape)
    spectra = torch.fft.fft2(values.double().unflatten(1, shape)).abs().flatten(1).cpu().numpy()
    return _cosines(spectra - spectra.mean(axis=0), signed=True)


def _cosines(rows: np.ndarray, signed: bool = False) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not norms.all():
        raise ValueError(f"filters must differ from 0 and from one another, got {int((norms == 0).sum())} that do not")
    cosines = (rows / norms) @ (rows / norms).T
    cosines = cosines.clip(0) if signed else np.abs(cosines)
    cosines = (cosines + cosines.T) / 2
    np.fill_diagonal(cosines, 0)
    return cosines


def without_edges(graph: Array, share: float, seed: int) -> np.ndarray:
    """Remove a random share of the edges of a graph.

    Parameters
    ----------
    graph
        Symmetric weights, shape (n_units, n_units).
    share
        Of the edges other than 0, in 0 … 1; the number removed is rounded.
    seed
        Of the choice. A larger share of the same seed removes the same edges and others.

    Raises
    ------
    ValueError
        If the graph is not symmetric, finite and non-negative, or the share is out of range.
    """
    weights = _check_graph("graph", graph).copy()
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0 … 1, got {share!r}")
    first, second = np.nonzero(np.triu(weights, 1))
    removed = np.random.default_rng(seed).permutation(len(first))[: round(share * len(first))]
    weights[first[removed], second[removed]] = weights[second[removed], first[removed]] = 0
    return weights


def between_graphs(first: Array, second: Array, share: float) -> np.ndarray:
    """Mix two graphs of the same units, each scaled to a sum of 1: (1 − share) · first + share · second.

    Raises
    ------
    ValueError
        If a graph is not symmetric, finite and non-negative, has no edge or another size, or the share is not in 0 … 1.
    """
    graphs = [_check_graph(name, given) for name, given in (("first", first), ("second", second))]
    if graphs[0].shape != graphs[1].shape:
        raise ValueError(f"second must have the shape of first, {graphs[0].shape}, got {graphs[1].shape}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0 … 1, got {share!r}")
    return (1 - share) * graphs[0] / graphs[0].sum() + share * graphs[1] / graphs[1].sum()


def morans_i(
    values: Array,
    weights: Array,
    n_permutations: int = 1000,
    seed: int = 0,
    strata: Any = None,
) -> Moran:
    """Moran's I of a property over a graph, and the same when units are permuted.

    With z the values less their mean and S₀ the sum of all weights,

        I = (n / S₀) · Σ_ij w_ij Re(z_i z̄_j) / Σ_i |z_i|² ,

    for real values the usual one. For complex and for several ones it is the mean of the I of all parts, weighted by
    their variances, so that the mean over all permutations is −1/(n − 1) as well. A permutation moves the values of
    units, and with each unit all its pairs: pairs are not exchangeable.

    Parameters
    ----------
    values
        Shape (n_units,) or (n_units, n_numbers), real or complex.
    weights
        Of the pairs, at least 0, shape (n_units, n_units); the diagonal does not count.
    n_permutations
        At least 2.
    seed
        Of the permutations.
    strata
        If given, shape (n_units,): values are permuted among the units of one stratum alone, so that whatever goes
        with the strata is part of the null.

    Raises
    ------
    ValueError
        If the values are not finite (a filter without orientation has none: leave it out) or all the same, there are
        fewer than 3 units, shapes do not fit together, or all weights are 0.
    """
    z = _check_values(values)
    graph = _check_weights(weights, len(z))
    check_count("n_permutations", n_permutations, minimum=2)
    centred = z - z.mean(axis=0)
    scale = len(z) / (graph.sum() * np.vdot(centred, centred).real)
    order = _check_strata(strata, len(z))
    pairs = [_both_ways(graph)]
    (statistic,) = _forms(centred, pairs, np.arange(len(z))[None])[0]
    permuted = [_forms(centred, pairs, block)[:, 0] for block in _permutations(order, n_permutations, seed)]
    return Moran(float(scale * statistic), -1 / (len(z) - 1), scale * np.concatenate(permuted))


def similarity_by_distance(
    values: Array,
    places: np.ndarray,
    n_bins: int = 8,
    n_permutations: int = 1000,
    seed: int = 0,
) -> Profile:
    """How alike units are at each distance on a sheet, with the band in which it lies when units are permuted.

    Parameters
    ----------
    values
        As for `morans_i`.
    places
        Shape (n_units, 2).
    n_bins
        Bins of width 1 cell, the first about a distance of 1; pairs that lie farther apart are left out.
    n_permutations, seed
        As for `morans_i`.

    Raises
    ------
    ValueError
        If an argument is not what is described there, or a bin holds no pair.
    """
    z = _check_values(values)
    check_count("n_permutations", n_permutations, minimum=2)
    points = _check_places(places, len(z))
    centred = z - z.mean(axis=0)
    centred = centred / np.sqrt(np.vdot(centred, centred).real / len(z))
    distances = np.hypot(*np.moveaxis(points[:, None] - points, 2, 0))
    np.fill_diagonal(distances, np.inf)
    within = [np.abs(distances - (index + 1)) <= 0.5 for index in range(check_count("n_bins", n_bins))]
    counts = np.array([pairs.sum() for pairs in within])
    if not counts.all():
        raise ValueError(f"n_bins must be at most {int(np.argmin(counts > 0))} on this sheet, got {n_bins}")
    forms = [_both_ways(pairs.astype(float)) for pairs in within]
    own = _forms(centred, forms, np.arange(len(z))[None])[0] / counts
    blocks = [_forms(centred, forms, b) for b in _permutations(np.zeros(len(z)), n_permutations, seed)]
    low, high = np.quantile(np.concatenate(blocks) / counts, [0.025, 0.975], axis=0)
    return Profile(np.array([distances[pairs].mean() for pairs in within]), own, low, high)


def _forms(values: np.ndarray, matrices: Sequence[np.ndarray], orders: np.ndarray) -> np.ndarray:
    """Σ_ij w_ij Re(z_i z̄_j) of values in every order and for every matrix, shape (n_orders, n_matrices).

    The matrices come from `_both_ways`: the pairs above the diagonal count for those below, which halves the work.
    """
    from scipy.linalg.blas import dtrmm

    table = values.reshape(len(values), -1)
    parts = [*table.real.T, *table.imag.T] if np.iscomplexobj(table) else [*table.T]
    columns = np.concatenate([part[orders] for part in parts]).T  # (n_units, n_parts · n_orders), by columns
    found = []
    for matrix in matrices:
        products = dtrmm(1.0, matrix, columns)
        found.append(np.einsum("ij,ij->j", columns, products))
    return np.stack(found, axis=1).reshape(len(parts), len(orders), len(matrices)).sum(axis=0)


def _both_ways(weights: np.ndarray) -> np.ndarray:
    """Weights of both directions of a pair together, by columns, as BLAS reads them."""
    return np.asarray((weights + weights.T).T)


def _permutations(strata: np.ndarray, n_permutations: int, seed: int) -> Iterator[np.ndarray]:
    """Permutations of units within strata, in blocks of shape (n_some, n_units)."""
    rng = np.random.default_rng(check_count("seed", seed, minimum=0))
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    n_at_once = max(1, _MOST_PERMUTED // len(strata))
    for start in range(0, n_permutations, n_at_once):
        n_some = min(n_at_once, n_permutations - start)
        orders = np.empty((n_some, len(strata)), dtype=np.intp)
        for units in members:
            orders[:, units] = rng.permuted(np.tile(units, (n_some, 1)), axis=1)
        yield orders


def sheet_weights(places: np.ndarray, shape: tuple[int, int], torus: bool = False) -> np.ndarray:
    """1 for each pair of units in neighbouring cells, edges and corners alike, otherwise 0, (n_units, n_units).

    Parameters
    ----------
    places
        Shape (n_units, 2).
    shape
        (rows, columns) of the sheet.
    torus
        The first row is next to the last, and so are the columns.

    Raises
    ------
    ValueError
        If a place lies outside the sheet or holds two units.
    """
    points = _check_places(places, None)
    if (points < 0).any() or (points >= shape).any():
        raise ValueError(f"places must lie on the sheet of {shape} cells, got {points.min(0)} … {points.max(0)}")
    n_taken = len(np.unique(points, axis=0))
    if n_taken < len(points):
        raise ValueError(f"places must hold one unit each, got {len(points)} units on {n_taken} places")
    rows, columns = (_between(axis, size, torus) for axis, size in zip(points.T, shape, strict=True))
    weights = (np.maximum(rows, columns) <= 1).astype(float)
    np.fill_diagonal(weights, 0)
    return weights


def layout_score(
    similarity: Array, layout: Layout, shape: tuple[int, int], sigma: float = 1.0, torus: bool = False
) -> float:
    """Σ S_ij exp(−d_ij² / 2σ²) over pairs i < j at most 3σ apart along both axes: what `swap_layout` maximises.

    Parameters
    ----------
    similarity, shape, sigma, torus
        As for `swap_layout`.
    layout
        Of these units.
    """
    graph = _check_graph("similarity", similarity)
    rows, columns = (_between(axis, size, torus) for axis, size in zip(layout.places.T, shape, strict=True))
    near = np.maximum(rows, columns) <= _REACH * sigma
    kernel = np.where(near, np.exp(-(rows**2 + columns**2) / (2 * sigma**2)), 0)
    return float((np.triu(graph, 1) * kernel).sum())


def _between(axis: np.ndarray, size: int, torus: bool) -> np.ndarray:
    differences = np.abs(axis[:, None] - axis)
    return np.minimum(differences, size - differences) if torus else differences


def swap_layout(
    similarity: Array,
    shape: tuple[int, int],
    seed: int = 0,
    *,
    sigma: float = 1.0,
    torus: bool = False,
    start: str = "spectral",
    n_kicks: int = 40,
) -> Layout:
    """Lay units out by swaps that bring similar units close together.

    The sum Σ S_ij exp(−d_ij² / 2σ²) of all pairs, cut off at 3σ along both axes, grows with every swap of two cells,
    each unit's best one in turn, until no swap makes it larger. On a large sheet one round with each of some wider
    Gaussians goes before. Then a twentieth of the cells is shuffled again and again, and swaps go on from there; what
    that gains is kept. The first order is that of the coordinates of `spectral_layout`, or none.

    Parameters
    ----------
    similarity
        Symmetric, at least 0, shape (n_units, n_units); the diagonal does not count.
    shape
        (rows, columns) of the sheet.
    seed
        Of all that is random: the order in which units have their turn, the kicks, and a random start.
    sigma
        σ of the last Gaussian, in cells.
    torus
        Join opposite edges of the sheet.
    start
        "spectral", or "random".
    n_kicks
        Number of times that cells are shuffled; none for a quick layout.

    Returns
    -------
    Layout
        Each part of a disconnected graph holds together by itself.

    Raises
    ------
    ValueError
        If the similarity is not symmetric, finite and non-negative, the sheet does not hold the units, or an option is
        out of range.
    """
    from wlsc.analysis._swaps import improve, total

    graph = _check_graph("similarity", similarity)
    _check_sheet(shape, len(graph))
    check_positive("sigma", sigma)
    if start not in ("spectral", "random"):
        raise ValueError(f"start must be 'spectral' or 'random', got {start!r}")
    rng = np.random.default_rng(check_count("seed", seed, minimum=0))
    n_cells = shape[0] * shape[1]
    padded = np.zeros((n_cells, n_cells))
    padded[: len(graph), : len(graph)] = graph
    points, n_parts = _coordinates(graph, lambda part: _spectral_coordinates(part, 2))
    unit_at = rng.permutation(n_cells) if start == "random" else _filed(points, shape)
    for width in _widths(shape, sigma):
        sheet = _gaussian_sheet(shape, width, torus)
        unit_at = improve(padded, unit_at, sheet, rng, at_most=None if width == sigma else 1)
    best = total(padded, unit_at, sheet)
    for _ in range(check_count("n_kicks", n_kicks, minimum=0)):
        kicked = unit_at.copy()
        chosen = rng.choice(n_cells, min(n_cells, max(4, round(_KICKED * n_cells))), replace=False)
        kicked[chosen] = kicked[rng.permutation(chosen)]
        kicked = improve(padded, kicked, sheet, rng)
        score = total(padded, kicked, sheet)
        if score > best:
            best, unit_at = score, kicked
    return Layout(np.stack(np.unravel_index(np.argsort(unit_at)[: len(graph)], shape), axis=1), n_parts)


def _widths(shape: tuple[int, int], sigma: float) -> list[float]:
    """Widths of the Gaussian from a sixteenth of the sheet down to σ, each half of the one before."""
    widths = [sigma]
    while 2 * widths[0] <= max(shape) / 16:
        widths.insert(0, 2 * widths[0])
    return widths


def _filed(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Unit of each cell where columns are filled by x and, within a column, rows by y; empty cells come last."""
    n_cells = shape[0] * shape[1]
    padded = np.concatenate([points, np.full((n_cells - len(points), 2), 2.0)])
    columns = np.argsort(padded[:, 1], kind="stable").reshape(shape[1], shape[0])
    columns = np.take_along_axis(columns, np.argsort(padded[columns, 0], axis=1, kind="stable"), axis=1)
    return columns.T.ravel()


def random_layout(n_units: int, shape: tuple[int, int], seed: int) -> Layout:
    """Lay units out at random: what a map is compared to."""
    _check_sheet(shape, check_count("n_units", n_units))
    cells = np.random.default_rng(seed).permutation(shape[0] * shape[1])[:n_units]
    return Layout(np.stack(np.unravel_index(cells, shape), axis=1), 1)


def spectral_layout(similarity: Array, shape: tuple[int, int]) -> Layout:
    """Lay units out by two eigenvectors of the similarity, and give each the cell that moves all of them least.

    With v₁, v₂, v₃ the leading eigenvectors, a unit's coordinates are v₂/v₁ and v₃/v₁: for D^(-1/2) G D^(-1/2) those of
    a random walk on G. Their ranks fill the sheet evenly; the cells are assigned by SciPy so that the sum of the
    squared moves is least. Each part of a disconnected graph gets columns of its own.

    Parameters
    ----------
    similarity
        Symmetric, at least 0, shape (n_units, n_units).
    shape
        (rows, columns) of the sheet.

    Raises
    ------
    ValueError
        If the similarity is not symmetric, finite and non-negative, or the sheet does not hold the units.
    """
    return _assigned(similarity, shape, lambda part: _spectral_coordinates(part, 2))


def tsne_layout(similarity: Array, shape: tuple[int, int], seed: int = 0) -> Layout:
    """Lay units out as `spectral_layout` does, by t-SNE of ten such coordinates in the place of two.

    Parts of fewer than 16 units keep their two.

    Parameters
    ----------
    similarity, shape
        As for `spectral_layout`, which also says what is raised.
    seed
        Of t-SNE.
    """
    from wlsc.analysis.embedding import embed_tsne

    def embed(part: np.ndarray) -> np.ndarray:
        if len(part) < _FEWEST_FOR_TSNE:
            return _spectral_coordinates(part, 2)
        coordinates = _spectral_coordinates(part, _N_SPECTRAL)
        return embed_tsne(coordinates, min(30.0, len(part) / 4), random_state=seed)

    return _assigned(similarity, shape, embed)


def _assigned(similarity: Array, shape: tuple[int, int], embed: Callable[[np.ndarray], np.ndarray]) -> Layout:
    """Embed the units, and assign cells."""
    from scipy.optimize import linear_sum_assignment

    graph = _check_graph("similarity", similarity)
    _check_sheet(shape, len(graph))
    points, n_parts = _coordinates(graph, embed)
    cells = np.stack(np.unravel_index(np.arange(shape[0] * shape[1]), shape), axis=1)
    squares = ((points[:, None] - (cells + 0.5) / shape) ** 2).sum(axis=2)
    return Layout(cells[linear_sum_assignment(squares)[1]], n_parts)


def _coordinates(graph: np.ndarray, embed: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, int]:
    """(y, x) of each unit in 0 … 1, by ranks, connected parts embedded apart and side by side; and their number."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components
    from scipy.stats import rankdata

    n_parts, part_of = connected_components(csr_array(graph), directed=False)
    points = np.empty((len(graph), 2))
    left = 0.0
    for part in np.argsort(-np.bincount(part_of), kind="stable"):
        members = np.flatnonzero(part_of == part)
        width = len(members) / len(graph)
        inside = (rankdata(embed(graph[np.ix_(members, members)]), axis=0) - 0.5) / len(members)
        points[members] = inside * [1, width] + [0, left]
        left += width
    return points, int(n_parts)


def _spectral_coordinates(graph: np.ndarray, n_dimensions: int) -> np.ndarray:
    """Eigenvectors 2 … n + 1 of a connected graph, each over the first; missing ones are 0."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    n_units = len(graph)
    n_vectors = min(n_dimensions + 1, n_units)
    coordinates = np.zeros((n_units, n_dimensions))
    if n_units < _FEWEST_FOR_LANCZOS:
        _, vectors = eigh(graph, subset_by_index=[n_units - n_vectors, n_units - 1])
        vectors = vectors[:, ::-1]
    else:
        values, vectors = eigsh(graph, n_vectors, which="LA", v0=np.ones(n_units))
        vectors = vectors[:, np.argsort(-values)]
    first = np.maximum(np.abs(vectors[:, :1]), np.finfo(float).tiny)  # of one sign, by Perron and Frobenius
    found = vectors[:, 1:] / first
    largest = found[np.abs(found).argmax(axis=0), np.arange(n_vectors - 1)]
    coordinates[:, : n_vectors - 1] = found * np.sign(largest)  # an eigenvector's sign is arbitrary
    return coordinates


def on_sheet(values: Array, places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A property as an image of the sheet, (rows, columns); NaN where a cell is empty."""
    property_ = np.asarray(values)
    image = np.full(shape, np.nan, dtype=np.result_type(property_.dtype, float))
    image[tuple(_check_places(places, len(property_)).T)] = property_
    return image


def pinwheels(field: np.ndarray) -> np.ndarray:
    """Charge of the pinwheel between each four cells that touch: +½, −½, or 0 where there is none.

    Along the loop around a pinwheel, orientation θ turns by half a turn, and e^{2iθ} winds once. The steps of the angle
    from cell to cell are taken the short way; their sum around (r, c), (r, c+1), (r+1, c+1), (r+1, c) is 2π times the
    winding number, with x to the right and y upwards, row 0 being on top.

    Parameters
    ----------
    field
        e^{2iθ} of each cell, times whatever is above 0, complex, shape (rows, columns); NaN where nothing is known.

    Returns
    -------
    numpy.ndarray
        Shape (rows − 1, columns − 1); NaN where one of the four cells is.

    Raises
    ------
    ValueError
        If the field is not a complex image of at least 2 × 2 cells, or is 0 somewhere, where no orientation is.
    """
    image = np.asarray(field)
    if image.ndim != 2 or min(image.shape) < 2 or not np.iscomplexobj(image):
        raise ValueError(f"field must be a complex image of at least 2 × 2, got {image.dtype} of shape {image.shape}")
    if (image == 0).any():
        raise ValueError(f"field must have an orientation everywhere, got {int((image == 0).sum())} cells without one")
    corners = [image[1:, :-1], image[1:, 1:], image[:-1, 1:], image[:-1, :-1]]  # anticlockwise, y upwards
    steps = [
        np.angle(after * np.conj(before)) for before, after in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    return np.round(sum(steps) / (2 * np.pi)) / 2


def column_spacing(field: np.ndarray) -> float:
    """Spacing Λ of the columns of a map, in cells: 1 over the root mean square frequency of its power spectrum.

    Parameters
    ----------
    field
        Complex image without NaN, shape (rows, columns), as for `pinwheels`; its mean does not count.

    Raises
    ------
    ValueError
        If the field is not finite, or the same everywhere.
    """
    image = np.asarray(field)
    if image.ndim != 2 or not np.isfinite(image).all():
        raise ValueError(f"field must be a finite image, got shape {image.shape} with NaN or infinite values")
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    if not power.sum() > 0:
        raise ValueError("field must vary over the sheet, got the same value everywhere")
    squares = _squared_frequencies(image.shape)
    return float(np.sqrt(power.sum() / (power * squares).sum()))


def ring_noise(shape: tuple[int, int], wavelength: float, seed: int, bandwidth: float = 0.1) -> np.ndarray:
    """A random map with one column spacing: complex Gaussian noise whose spectrum is a ring, on a torus.

    Such noise has π pinwheels per Λ² in the mean [1]_: the mean number of zeros of an isotropic complex Gaussian field
    is ⟨k²⟩/4π per area. That density is therefore no sign of anything that is not in this noise.

    Parameters
    ----------
    shape
        (rows, columns).
    wavelength
        Λ in cells, at least 2.
    seed
        Of the noise.
    bandwidth
        Standard deviation of the frequency as a share of 1/Λ.

    References
    ----------
    .. [1] F. Wolf, T. Geisel, Spontaneous pinwheel annihilation during visual development, Nature 395 (1998) 73–78.
    """
    if not wavelength >= 2:
        raise ValueError(f"wavelength must be at least 2 cells, got {wavelength!r}")
    check_positive("bandwidth", bandwidth)
    rng = np.random.default_rng(check_count("seed", seed, minimum=0))
    noise = rng.normal(size=(2, *shape))
    distance = np.sqrt(_squared_frequencies(shape)) * wavelength - 1
    amplitude = np.exp(-(distance**2) / (4 * bandwidth**2))
    return np.asarray(np.fft.ifft2(amplitude * (noise[0] + 1j * noise[1])))


def _squared_frequencies(shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.fft.fftfreq(shape[0])[:, None] ** 2 + np.fft.fftfreq(shape[1]) ** 2)


def _near(size: int, reach: float, torus: bool) -> tuple[np.ndarray, np.ndarray]:
    """Indices near each index of an axis, shape (size, n_near), -1 beyond its ends; and their distances, (n_near,)."""
    steps = np.arange(size) if torus else np.arange(1 - size, size)
    distances = np.minimum(steps, size - steps) if torus else np.abs(steps)
    steps, distances = steps[distances <= reach], distances[distances <= reach]
    near = np.arange(size)[:, None] + steps
    return np.where((near >= 0) & (near < size) | torus, near % size, -1), distances


def _gaussian_sheet(shape: tuple[int, int], sigma: float, torus: bool) -> Sheet:
    from wlsc.analysis._swaps import Sheet

    axes = []
    for size in shape:
        near, distances = _near(size, _REACH * sigma, torus)
        axes += [near, np.exp(-(distances**2) / (2 * sigma**2))]
    return Sheet(*axes)


def _check_values(values: Array) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.dtype.kind not in "fiubc" or array.ndim not in (1, 2) or len(array) < 3:
        raise ValueError(
            f"values must be numbers for each of at least 3 units, got {array.dtype} of shape {array.shape}"
        )
    array = array.astype(complex if array.dtype.kind == "c" else float)
    finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"values must be finite, got {int((~finite).sum())} of {len(array)} that are not: "
            "leave out units without the property"
        )
    if (array == array[0]).all():
        raise ValueError(f"values must differ between units, got {array[0]} for all {len(array)}")
    return array


def _check_weights(weights: Array, n_units: int) -> np.ndarray:
    graph = to_torch("weights", weights, ndim=2).double().cpu().numpy().copy()
    if graph.shape != (n_units, n_units):
        raise ValueError(f"weights must have shape {(n_units, n_units)} for {n_units} values, got {graph.shape}")
    np.fill_diagonal(graph, 0)
    if (graph < 0).any() or not graph.any():
        raise ValueError(f"weights must be at least 0 and join some pair, got {graph.min()} … {graph.max()}")
    return graph


def _check_graph(name: str, weights: Array) -> np.ndarray:
    graph = to_torch(name, weights, ndim=2).double().cpu().numpy().copy()
    if graph.shape[0] != graph.shape[1] or not np.allclose(graph, graph.T) or (graph < 0).any():
        raise ValueError(
            f"{name} must be symmetric and at least 0, got shape {graph.shape} from {graph.min(initial=0)}"
        )
    np.fill_diagonal(graph, 0)
    if not graph.any():
        raise ValueError(f"{name} must join some pair of units, got no weight above 0")
    return graph


def _check_strata(strata: Any, n_units: int) -> np.ndarray:
    if strata is None:
        return np.zeros(n_units)
    if np.shape(strata) != (n_units,):
        raise ValueError(f"strata must have shape ({n_units},), got {np.shape(strata)}")
    return np.unique(np.asarray(strata), return_inverse=True)[1].astype(float)


def _check_places(places: np.ndarray, n_units: int | None) -> np.ndarray:
    points = np.asarray(places)
    if points.dtype.kind not in "iu" or points.ndim != 2 or points.shape[1] != 2 or n_units not in (None, len(points)):
        expected = "n_units" if n_units is None else n_units
        raise ValueError(f"places must be integers of shape ({expected}, 2), got {points.dtype} of {points.shape}")
    return points


def _check_sheet(shape: tuple[int, int], n_units: int) -> None:
    if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] < n_units:
        raise ValueError(f"shape must be (rows, columns) that hold {n_units} units, got {tuple(shape)}")
