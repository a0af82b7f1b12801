"""Do codes cluster? Spectral clustering of the graph of samples and atoms, its scores, and class purity.

The codes are the edge weights of a bipartite graph between samples and atoms. Two steps of a random walk on it lead
from atom to atom: the atoms have a graph of their own, codesᵀ · codes, and everything spectral comes from that
(n_atoms, n_atoms) matrix. No (n_samples + n_atoms)² matrix is ever formed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from wlsc._lazy import same_random_numbers
from wlsc._validation import Array, check_count, check_flag, to_torch

#: Defaults per cluster. More eigenvectors and groups than clusters keep the parts of a cluster apart until they are
#: merged by the graph itself.
_EIGENVECTORS_PER_CLUSTER = 4
_GROUPS_PER_CLUSTER = 10

#: Largest number of clusters that the eigengap rule considers.
_MAX_CLUSTERS = 30

#: Iterations of k-means: groups need not have settled before they are merged, but they should differ between starts.
_KMEANS_ITERATIONS = 10

#: Lanczos iterations pay off when this many times fewer eigenvectors than atoms are wanted.
_LANCZOS_RATIO = 4

#: Share of values other than zero up to which sparse storage is the faster one; codes of few layers are beyond it.
MOST_SPARSE = 0.1

#: Rows that are held in dense storage at a time.
_ROWS = 4096

#: Distances held at a time in the search for neighbours.
_MAX_DISTANCES = 2**24

#: Share of all degrees that stands in for a degree of 0, which nothing can be divided by.
_NO_DEGREE = 1e-12

#: Directions that agree to so many decimals are the same: k-means in float32 cannot tell them apart.
_DECIMALS = 3


class CodeClusters(NamedTuple):
    """Clusters of samples and atoms. Cluster 0 holds the largest share of the codes, and so on.

    Attributes
    ----------
    sample_labels
        Cluster of each sample, int64, shape (n_samples,).
    atom_labels
        Cluster of each atom, int64, shape (n_atoms,); -1 for atoms that no sample uses.
    embedding
        Spectral coordinates of the samples, shape (n_samples, n_eigenvectors): the mean of their atoms' coordinates,
        weighted by the codes.
    atom_embedding
        Spectral coordinates of the atoms, shape (n_atoms, n_eigenvectors): D^(-1/2) times the eigenvectors; 0 for atoms
        that no sample uses.
    eigenvalues
        Of the normalised atom graph, largest first, shape (n_eigenvectors,).
    n_components
        Number of connected components of the graph of samples and atoms.
    """

    sample_labels: Array
    atom_labels: Array
    embedding: Array
    atom_embedding: Array
    eigenvalues: Array
    n_components: int

    def predict(self, codes: Any) -> Array:
        """Cluster of new samples: the one whose atoms hold most of the code; the lowest one if several hold as much.

        Parameters
        ----------
        codes
            Shape (n_samples, n_atoms), as for `cluster_codes`.

        Returns
        -------
        Array
            int64, shape (n_samples,); -1 where a code lies on atoms without a cluster alone.

        Raises
        ------
        ValueError
            If the codes are not what is described above.
        """
        weights, atom_labels = _read_codes(codes), _to_numpy(self.atom_labels)
        if weights.shape[1] != len(atom_labels):
            raise ValueError(f"codes must have one column per atom ({len(atom_labels)}), got shape {weights.shape}")
        return _like_codes(_majority(weights, atom_labels), codes)


class ClusteringScores(NamedTuple):
    """Agreement of clusters with classes.

    Attributes
    ----------
    accuracy
        Share of samples whose class is the one that their cluster stands for, under the best one-to-one assignment of
        clusters to classes.
    nmi
        Mutual information of clusters and classes over the mean of their entropies.
    ari
        Rand index, adjusted for chance.
    """

    accuracy: float
    nmi: float
    ari: float


def cluster_codes(
    codes: Any,
    n_clusters: int | None = None,
    random_state: int = 0,
    *,
    n_eigenvectors: int | None = None,
    n_groups: int | None = None,
    self_loops: bool = False,
    regularization: float = 1.0,
    n_init: int = 50,
) -> CodeClusters:
    """Cluster samples and atoms by the spectrum of their bipartite graph [1]_, without any label.

    1. The atoms' graph is C = codesᵀ · codes, by default without its diagonal, which says how often an atom is used and
       nothing about its neighbours.
    2. The leading eigenvectors of D^(-1/2) C D^(-1/2), with the mean degree added to every degree in D [2]_, scaled by
       D^(-1/2), are the coordinates of the atoms. With ``self_loops=True`` and ``regularization=0`` they are the
       right singular vectors of the normalised bipartite graph, and its singular values are √eigenvalues.
    3. k-means on the directions of the atoms' coordinates cuts the graph into ``n_groups`` small groups.
    4. Groups a, b are merged, largest C_ab / (d_a d_b) first [3]_, until ``n_clusters`` are left. ``regularization``
       spreads as much weight evenly over all pairs of atoms as it adds to the degrees, so that a few atoms that hang
       together with no others do not make up a cluster.
    5. Of ``n_init`` starts of k-means, the partition is kept in which the cluster of one end of an edge tells most
       about that of the other: the largest mutual information.
    6. A sample belongs to the cluster whose atoms hold most of its code.

    Codes from several dictionaries can be set side by side (``scipy.sparse.hstack``): all their atoms then share one
    graph, whose clusters are a consensus of the dictionaries.

    Parameters
    ----------
    codes
        Non-negative, shape (n_samples, n_atoms): NumPy array, torch tensor (strided or CSR), or any SciPy sparse array.
        Rows are scaled to a sum of 1. Codes with signs can be split into positive and negative parts.
    n_clusters
        Number of clusters, or None for the one with the largest gap between successive eigenvalues, from 2 to 30.
    random_state
        Seed of k-means; the same seed gives the same clusters.
    n_eigenvectors
        Number of eigenvectors; 4 per cluster by default.
    n_groups
        Number of groups before merging; 10 per cluster by default. ``n_clusters`` merges nothing: plain k-means.
    self_loops
        Keep the diagonal of C. It is kept in any case where no sample uses two atoms.
    regularization
        What is added to every degree, in units of the mean degree.
    n_init
        Number of starts of k-means.

    Returns
    -------
    CodeClusters
        Tensors on the device of ``codes`` if those are a tensor, NumPy arrays otherwise; floats have the dtype of the
        codes. There can be fewer clusters than asked for where the graph does not tell as many atoms apart.

    Raises
    ------
    ValueError
        If the codes are not finite and non-negative, if a row is empty, if there are fewer samples or used atoms than
        clusters, or if an option is out of range.

    References
    ----------
    .. [1] I. S. Dhillon, Co-clustering documents and words using bipartite spectral graph partitioning, KDD (2001)
       269–274.
    .. [2] T. Qin, K. Rohe, Regularized spectral clustering under the degree-corrected stochastic blockmodel, NeurIPS
       (2013).
    .. [3] T. Bonald, B. Charpentier, A. Galland, A. Hollocou, Hierarchical graph clustering using node pair sampling,
       MLG workshop at KDD (2018).
    """
    from scipy.sparse.csgraph import connected_components

    weights = _read_codes(codes)
    n_samples, n_atoms = weights.shape
    check_count("random_state", random_state, 0)
    check_count("n_init", n_init)
    check_flag("self_loops", self_loops)
    if not 0 <= regularization < np.inf:
        raise ValueError(f"regularization must be a finite number of at least 0, got {regularization!r}")
    usage = weights.sum(axis=0)
    used = np.flatnonzero(usage)
    most = min(n_samples, len(used))
    if n_clusters is not None and check_count("n_clusters", n_clusters) > most:
        raise ValueError(
            f"n_clusters must be at most the number of samples and of atoms in use, "
            f"got {n_clusters} for {n_samples} samples and {len(used)} atoms"
        )
    coupling = _couple(weights if len(used) == n_atoms else weights[:, used])
    n_components = connected_components(coupling, directed=False, return_labels=False)
    graph = coupling if self_loops else _without_diagonal(coupling)
    if n_clusters is None:
        n_clusters = _count_by_eigengap(graph, regularization, most, random_state)
    wanted = _at_most("n_eigenvectors", n_eigenvectors, _EIGENVECTORS_PER_CLUSTER * n_clusters, 1, len(used))
    n_groups = _at_most("n_groups", n_groups, _GROUPS_PER_CLUSTER * n_clusters, n_clusters, len(used))

    eigenvalues, coordinates = _spectrum(graph, wanted, regularization, random_state)
    labels = _partition(graph, coordinates, n_clusters, n_groups, regularization, n_init, random_state)
    shares = np.bincount(labels, weights=usage[used])
    atom_labels = np.full(n_atoms, -1)
    atom_labels[used] = np.argsort(np.argsort(-shares, kind="stable"))[labels]
    atom_embedding = np.zeros((n_atoms, wanted))
    atom_embedding[used] = coordinates
    return CodeClusters(
        _like_codes(_majority(weights, atom_labels), codes),
        _like_codes(atom_labels, codes),
        _like_codes(weights @ atom_embedding, codes),
        _like_codes(atom_embedding, codes),
        _like_codes(eigenvalues, codes),
        int(n_components),
    )


def _read_codes(codes: Any) -> Any:
    """The codes as a float64 CSR array of their own, rows scaled to a sum of 1."""
    from scipy.sparse import csr_array, issparse, vstack

    with same_random_numbers():
        from sklearn.preprocessing import normalize

    matrix = _to_numpy(read_matrix("codes", codes))
    if issparse(matrix):
        weights = csr_array(matrix, dtype=np.float64, copy=True)
    else:  # in blocks: SciPy takes several times the memory of the result to compress a dense array
        starts = range(0, max(len(matrix), 1), _ROWS)
        weights = vstack([csr_array(matrix[start : start + _ROWS], dtype=np.float64) for start in starts], format="csr")
    weights.sum_duplicates()
    weights.eliminate_zeros()
    n_negative = int(np.count_nonzero(weights.data < 0))
    if n_negative:
        raise ValueError(f"codes must be non-negative, got {n_negative} negative values")
    if not weights.shape[0]:
        raise ValueError(f"codes must hold at least one sample, got shape {weights.shape}")
    n_empty = int(np.count_nonzero(np.diff(weights.indptr) == 0))
    if n_empty:
        raise ValueError(
            f"codes must have a non-zero value in every row, got {n_empty} empty rows of {weights.shape[0]}"
        )
    return normalize(weights, norm="l1", copy=False)


def read_matrix(name: str, values: Any) -> Any:
    """Finite values of shape (n_samples, n_features): a SciPy CSR array if they are sparse, a tensor otherwise."""
    from scipy.sparse import csr_array, issparse

    if isinstance(values, torch.Tensor) and values.layout == torch.sparse_csr:
        parts = (values.values(), values.col_indices(), values.crow_indices())
        values = csr_array(tuple(_to_numpy(part) for part in parts), shape=tuple(values.shape))
    if not issparse(values):
        return to_torch(name, values, ndim=2).detach()
    if values.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions, got shape {values.shape}")
    matrix = csr_array(values, dtype=np.result_type(values.dtype, np.float32))
    to_torch(name, matrix.data)
    return matrix


def _at_most(name: str, value: int | None, default: int, minimum: int, maximum: int) -> int:
    """The value, or the default cut down to the number of atoms in use."""
    if value is None:
        return min(default, maximum)
    if check_count(name, value, minimum) > maximum:
        raise ValueError(f"{name} must be at most the number of atoms in use ({maximum}), got {value}")
    return int(value)


def _couple(weights: Any) -> Any:
    """Coupling of atoms by the samples that they share, WᵀW, as a CSR array."""
    from scipy.sparse import csr_array

    n_samples, n_atoms = weights.shape
    if weights.nnz <= MOST_SPARSE * n_samples * n_atoms:
        return weights.T @ weights
    coupling = np.zeros((n_atoms, n_atoms))
    for start in range(0, n_samples, _ROWS):
        block = weights[start : start + _ROWS].toarray()
        coupling += block.T @ block
    return csr_array(coupling)


def _without_diagonal(coupling: Any) -> Any:
    from scipy.sparse import diags_array

    graph = coupling - diags_array(coupling.diagonal())
    graph.eliminate_zeros()
    return graph if graph.nnz else coupling


def _spectrum(graph: Any, n_eigenvectors: int, regularization: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Leading eigenvalues of D^(-1/2) C D^(-1/2), largest first, and eigenvectors scaled by D^(-1/2)."""
    from scipy.linalg import eigh
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import eigsh

    n_atoms = graph.shape[0]
    degrees = graph.sum(axis=1)
    degrees = degrees + regularization * degrees.mean()
    # an atom without neighbours has a row of zeros, whatever it is scaled by
    scale = np.where(degrees > 0, degrees, 1) ** -0.5
    normalised = diags_array(scale) @ graph @ diags_array(scale)
    if n_atoms < _LANCZOS_RATIO * n_eigenvectors:
        values, vectors = eigh(normalised.toarray(), subset_by_index=[n_atoms - n_eigenvectors, n_atoms - 1])
    else:
        start = np.random.default_rng(seed).uniform(0.5, 1, n_atoms)
        values, vectors = eigsh(normalised, n_eigenvectors, which="LA", v0=start)
    order = np.argsort(-values)
    vectors = vectors[:, order]
    # an eigenvector's sign is arbitrary: its largest component is positive here
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(n_eigenvectors)]
    return values[order], vectors * np.sign(largest) * scale[:, None]


def count_clusters(codes: Any, random_state: int = 0, *, self_loops: bool = False, regularization: float = 1.0) -> int:
    """Number of clusters by the largest gap between successive eigenvalues of the atoms' graph, from 2 to 30.

    Parameters
    ----------
    codes, random_state, self_loops, regularization
        As for `cluster_codes`, which takes this number if it is given none.

    Raises
    ------
    ValueError
        If the codes are not what is described there.
    """
    check_flag("self_loops", self_loops)
    weights = _read_codes(codes)
    coupling = _couple(weights[:, np.flatnonzero(weights.sum(axis=0))])
    graph = coupling if self_loops else _without_diagonal(coupling)
    return _count_by_eigengap(graph, regularization, min(weights.shape[0], graph.shape[0]), random_state)


def _count_by_eigengap(graph: Any, regularization: float, most: int, seed: int) -> int:
    if most < 3:
        return most
    eigenvalues, _ = _spectrum(graph, min(_MAX_CLUSTERS + 1, graph.shape[0]), regularization, seed)
    return 2 + int(np.argmax((eigenvalues[1:-1] - eigenvalues[2:])[: most - 1]))


def _partition(
    graph: Any, coordinates: np.ndarray, n_clusters: int, n_groups: int, regularization: float, n_init: int, seed: int
) -> np.ndarray:
    """Cluster of each atom: the best of several starts of k-means with merging."""
    from scipy.sparse import triu
    from threadpoolctl import threadpool_limits

    with same_random_numbers():
        from sklearn import config_context
        from sklearn.cluster import KMeans

    lengths = np.linalg.norm(coordinates, axis=1, keepdims=True)
    directions = (coordinates / np.where(lengths > 0, lengths, 1)).round(_DECIMALS)
    points, place = np.unique(directions.astype(np.float32), axis=0, return_inverse=True)
    n_groups = min(n_groups, len(points))
    edges, loops = triu(graph, 1, format="coo"), graph.diagonal()
    even = regularization * graph.sum() / graph.shape[0] ** 2
    best, best_information = np.zeros(len(place), dtype=np.int64), -np.inf
    # one thread: the arrays are small, and sums that are split among more threads round differently; for arrays as
    # small as these, looking at the arguments takes longer than the clustering
    with threadpool_limits(1), config_context(assume_finite=True, skip_parameter_validation=True):
        for state in np.random.default_rng(seed).integers(2**31, size=n_init):
            kmeans = KMeans(n_groups, init="random", n_init=1, max_iter=_KMEANS_ITERATIONS, random_state=int(state))
            groups = kmeans.fit_predict(points).astype(np.int64)[place]
            cells = groups[edges.row] * n_groups + groups[edges.col]
            half = np.bincount(cells, weights=edges.data, minlength=n_groups**2).reshape(n_groups, n_groups)
            between = half + half.T + np.diag(np.bincount(groups, weights=loops, minlength=n_groups))
            sizes = np.bincount(groups, minlength=n_groups)
            merged = _merge(between + even * np.outer(sizes, sizes), n_clusters)
            members = np.eye(merged.max() + 1)[merged]
            information = _mutual_information(members.T @ between @ members)
            if information > best_information:
                best, best_information = merged[groups], information
    return best


def _merge(between: np.ndarray, n_clusters: int) -> np.ndarray:
    """Cluster of each group after merging the pair of largest weight / (degree · degree) again and again."""
    n_groups = len(between)
    weights, labels = between.copy(), np.arange(n_groups)
    degrees = weights.sum(axis=1)
    degrees = np.maximum(degrees, _NO_DEGREE * degrees.sum())
    similarity = weights / np.outer(degrees, degrees)
    np.fill_diagonal(similarity, -1)
    gone = np.zeros(n_groups, dtype=bool)
    for _ in range(n_groups - n_clusters):
        kept, lost = divmod(int(similarity.argmax()), n_groups)
        weights[kept] += weights[lost]
        weights[:, kept] += weights[:, lost]
        degrees[kept] += degrees[lost]
        labels[labels == lost] = kept
        gone[lost] = True
        similarity[lost] = similarity[:, lost] = -1
        row = weights[kept] / (degrees[kept] * degrees)
        row[gone] = row[kept] = -1
        similarity[kept] = similarity[:, kept] = row
    return np.unique(labels, return_inverse=True)[1]


def _mutual_information(table: np.ndarray) -> float:
    """Of the row and the column of a random entry of a table of non-negative weights, in nats."""
    joint = table / table.sum()
    independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / independent[filled])).sum())


def _majority(weights: Any, atom_labels: np.ndarray) -> np.ndarray:
    """Cluster that holds most of each code; -1 where no atom in use has one."""
    members = atom_labels[:, None] == np.arange(atom_labels.max() + 1)
    shares = weights @ members.astype(float)
    return np.where(shares.any(axis=1), shares.argmax(axis=1), -1)


def _to_numpy(values: Any) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def _like_codes(array: np.ndarray, codes: Any) -> Array:
    """The array as the kind, and floats as the dtype, that the codes are."""
    if isinstance(codes, torch.Tensor):
        dtype = codes.dtype if codes.is_floating_point() and array.dtype.kind == "f" else None
        return torch.as_tensor(array, dtype=dtype, device=codes.device)
    return array.astype(codes.dtype, copy=False) if codes.dtype.kind == array.dtype.kind == "f" else array


def clustering_scores(labels_true: Any, labels_pred: Any) -> ClusteringScores:
    """Agreement of clusters with classes, whatever the labels are called.

    Accuracy takes the best one-to-one assignment of clusters to classes (Hungarian method); clusters without a class
    of their own count as wrong.

    Parameters
    ----------
    labels_true
        Class of each sample, shape (n_samples,).
    labels_pred
        Cluster of each sample, shape (n_samples,).

    Returns
    -------
    ClusteringScores
        All at most 1, which is perfect agreement.

    Raises
    ------
    ValueError
        If the labels are empty, not one-dimensional, not finite or of different lengths.
    """
    from scipy.optimize import linear_sum_assignment

    with same_random_numbers():
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
        from sklearn.metrics.cluster import contingency_matrix

    classes, clusters = _read_labels("labels_true", labels_true), _read_labels("labels_pred", labels_pred)
    if len(classes) != len(clusters):
        raise ValueError(
            f"labels_pred must have as many entries as labels_true, got {len(clusters)} for {len(classes)} samples"
        )
    table = contingency_matrix(classes, clusters)
    accuracy = table[linear_sum_assignment(table, maximize=True)].sum() / len(classes)
    return ClusteringScores(
        float(accuracy),
        float(normalized_mutual_info_score(classes, clusters)),
        float(adjusted_rand_score(classes, clusters)),
    )


def class_purity(values: Any, labels: Any, n_neighbours: int = 10, queries: Any = None) -> np.ndarray:
    """Share of each sample's nearest neighbours that are of its own class; the mean over samples is the class purity.

    Parameters
    ----------
    values, n_neighbours, queries
        As for `nearest_neighbours`.
    labels
        Class of each sample, shape (n_samples,).

    Returns
    -------
    numpy.ndarray
        In [0, 1], float64, shape (n_queries,).

    Raises
    ------
    ValueError
        As `nearest_neighbours`, or if the labels are of another length or not finite.
    """
    samples, classes = read_matrix("values", values), _read_labels("labels", labels)
    if len(classes) != samples.shape[0]:
        raise ValueError(f"labels must have one entry per sample ({samples.shape[0]}), got {len(classes)}")
    nearest = nearest_neighbours(values, n_neighbours, queries)
    own = classes if queries is None else classes[np.asarray(queries)]
    return (classes[nearest] == own[:, None]).mean(axis=1)


def nearest_neighbours(values: Any, n_neighbours: int = 10, queries: Any = None) -> np.ndarray:
    """Nearest neighbours of samples among all samples, the nearest first.

    Distances are Euclidean, a sample is not its own neighbour, and the search is exact: its time is the number of
    queries times that of samples, its memory is not.

    Parameters
    ----------
    values
        Shape (n_samples, n_features): NumPy array, torch tensor (strided or CSR), or any SciPy sparse array.
    n_neighbours
        Number of neighbours, below the number of samples.
    queries
        Rows of ``values`` whose neighbours are wanted, shape (n_queries,); all of them by default.

    Returns
    -------
    numpy.ndarray
        Rows of ``values``, int64, shape (n_queries, n_neighbours).

    Raises
    ------
    ValueError
        If the values are not finite, there are too few samples, or a query is no row.
    """
    samples = read_matrix("values", values)
    n_samples = samples.shape[0]
    if check_count("n_neighbours", n_neighbours) >= n_samples:
        raise ValueError(f"n_neighbours must be below the number of samples ({n_samples}), got {n_neighbours}")
    rows = np.arange(n_samples) if queries is None else np.asarray(queries)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or (rows.size and not 0 <= rows.min() <= rows.max() < n_samples):
        raise ValueError(f"queries must be rows of values, integers in 0 … {n_samples - 1}, got {queries!r}")
    dense = isinstance(samples, torch.Tensor)
    squares = torch.as_tensor((samples * samples).sum(1) if dense else samples.power(2).sum(axis=1))
    transposed = samples.T if dense else samples.T.tocsr()
    nearest = np.empty((len(rows), n_neighbours), dtype=np.int64)
    n_together = max(1, _MAX_DISTANCES // n_samples)
    for start in range(0, len(rows), n_together):
        some = rows[start : start + n_together]
        products = samples[some] @ transposed
        # ‖y − z‖² less ‖y‖², which does not change the order of y's neighbours
        distances = torch.sub(squares, products if dense else torch.from_numpy(products.toarray()), alpha=2)
        distances[torch.arange(len(some)), torch.as_tensor(some)] = torch.inf
        nearest[start : start + len(some)] = distances.topk(n_neighbours, largest=False).indices.cpu().numpy()
    return nearest


def _read_labels(name: str, labels: Any) -> np.ndarray:
    """Labels as consecutive integers from 0."""
    values = np.asarray(_to_numpy(labels))
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be a non-empty array with one dimension, got shape {values.shape}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite values")
    return np.unique(values, return_inverse=True)[1]
