"""Clusters of codes against dense linear algebra, planted graphs and brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components as components_of
from scipy.sparse.linalg import svds
from sklearn.metrics import adjusted_rand_score, mutual_info_score

from wlsc.analysis import clustering
from wlsc.analysis.clustering import (
    class_purity,
    cluster_codes,
    clustering_scores,
    count_clusters,
    nearest_neighbours,
)

PLAIN = {"self_loops": True, "regularization": 0}


def random_codes(n_samples=80, n_atoms=14, n_active=4, seed=0):
    """Sparse codes on the simplex without any structure, every atom in use."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((n_samples, n_atoms))
    for row, code in enumerate(codes):
        code[rng.choice(n_atoms, n_active, replace=False)] = rng.dirichlet(np.ones(n_active))
        code[row % n_atoms] += 0.1
    return codes / codes.sum(axis=1, keepdims=True)


def planted_codes(n_blocks=4, n_atoms=12, n_samples=60, noise=0.15, seed=0):
    """Codes on atoms of one block and, with a small weight, on one other atom; and the blocks of samples and atoms."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((n_blocks * n_samples, n_blocks * n_atoms))
    blocks = np.repeat(np.arange(n_blocks), n_samples)
    for code, block in zip(codes, blocks, strict=True):
        code[block * n_atoms + rng.choice(n_atoms, 3, replace=False)] = rng.dirichlet(np.ones(3))
        code[rng.integers(len(code))] += noise * rng.random()
    return codes / codes.sum(axis=1, keepdims=True), blocks, np.repeat(np.arange(n_blocks), n_atoms)


def aligned(vectors, reference):
    return vectors * np.sign((vectors * reference).sum(axis=0))


def same_partition(labels, others):
    return adjusted_rand_score(labels, others) == 1


# The spectrum. Both sides solve the same problem by other routes, in float64.

#: Eigenvalues lie in [0, 1] and agree to rounding; squared singular values of ARPACK to what it leaves.
ROUNDED, ROUNDED_BY_ARPACK = 1e-10, 1e-9
#: Eigenvectors agree to rounding over the gap between eigenvalues, which is 8e-4 and more on these codes.
ROUNDED_OVER_GAP = 1e-7
#: One product of the same numbers.
ROUNDED_PRODUCT = 1e-12
#: The same codes, summed in another order.
ROUNDED_SUM, ROUNDED_SUM_OVER_GAP = 1e-12, 1e-9
#: Codes of float32, whose results are float32, beside those of float64.
SINGLE = 2e-6


@pytest.mark.equation("eq-walk", "wlsc.analysis.clustering.cluster_codes")
@pytest.mark.parametrize(
    ("n_samples", "n_atoms", "n_eigenvectors"), [(80, 14, 13), (80, 14, 3), (80, 60, 5), (5000, 14, 3)]
)
def test_coordinates_are_singular_vectors_of_the_normalised_codes(n_samples, n_atoms, n_eigenvectors):
    codes = random_codes(n_samples, n_atoms)  # few of 60 atoms are active, and many of 14
    result = cluster_codes(codes, 2, n_eigenvectors=n_eigenvectors, **PLAIN)
    usage = codes.sum(axis=0)
    left, values, right = svds(codes / np.sqrt(usage), n_eigenvectors, solver="arpack", rng=np.random.default_rng(0))
    left, values, right = left[:, ::-1], values[::-1], right[::-1].T / np.sqrt(usage)[:, None]
    np.testing.assert_allclose(result.eigenvalues, values**2, atol=ROUNDED_BY_ARPACK)
    np.testing.assert_allclose(result.atom_embedding, aligned(right, result.atom_embedding), atol=ROUNDED_OVER_GAP)
    np.testing.assert_allclose(result.embedding, aligned(left * values, result.embedding), atol=ROUNDED_OVER_GAP)


@pytest.mark.equation("eq-walk", "wlsc.analysis.clustering.cluster_codes")
def test_coordinates_are_eigenvectors_of_the_whole_bipartite_laplacian():
    codes = random_codes(n_samples=40, n_atoms=10)
    result = cluster_codes(codes, 3, n_eigenvectors=9, **PLAIN)
    weights = np.block([[np.zeros((40, 40)), codes], [codes.T, np.zeros((10, 10))]])
    degrees = np.diag(weights.sum(axis=1))
    laplacian = degrees - weights
    singular = np.sqrt(result.eigenvalues)
    together = np.vstack([result.embedding / singular, result.atom_embedding])
    np.testing.assert_allclose(laplacian @ together, degrees @ together * (1 - singular), atol=ROUNDED)
    lowest = eigh(laplacian, degrees, eigvals_only=True, subset_by_index=[0, 8])
    np.testing.assert_allclose(1 - singular, lowest, atol=ROUNDED)


@pytest.mark.parametrize("n_eigenvectors", [4, 30])
def test_default_graph_has_no_self_loops_and_the_mean_degree_added(n_eigenvectors):
    codes = random_codes(n_atoms=40)
    result = cluster_codes(codes, 3, n_eigenvectors=n_eigenvectors)
    graph = codes.T @ codes
    np.fill_diagonal(graph, 0)
    degrees = graph.sum(axis=1) + graph.sum() / 40
    values, vectors = eigh(graph, np.diag(degrees))  # of the pencil, whose eigenvectors are D^(-1/2) times ours
    np.testing.assert_allclose(result.eigenvalues, values[::-1][:n_eigenvectors], atol=ROUNDED)
    expected = vectors[:, ::-1][:, :n_eigenvectors]
    np.testing.assert_allclose(result.atom_embedding, aligned(expected, result.atom_embedding), atol=ROUNDED_OVER_GAP)
    np.testing.assert_allclose(result.embedding, codes @ result.atom_embedding, atol=ROUNDED_PRODUCT)


def test_rows_count_the_same_whatever_their_sum():
    codes = random_codes()
    scaled = codes * np.random.default_rng(1).uniform(0.1, 10, (len(codes), 1))
    for one, other in zip(cluster_codes(codes, 3)[:5], cluster_codes(scaled, 3)[:5], strict=True):
        np.testing.assert_allclose(one, other, atol=ROUNDED_SUM_OVER_GAP)


# clusters


@pytest.mark.parametrize("n_blocks", [2, 4, 9])
@pytest.mark.parametrize("options", [{}, {"n_eigenvectors": 9, "n_groups": 9, **PLAIN}])
def test_planted_blocks_are_found(n_blocks, options):
    codes, blocks, atom_blocks = planted_codes(n_blocks)
    options = {name: min(value, n_blocks) if name.startswith("n_") else value for name, value in options.items()}
    result = cluster_codes(codes, n_blocks, **options)
    assert same_partition(result.sample_labels, blocks)
    assert same_partition(result.atom_labels, atom_blocks)
    assert set(result.atom_labels) == set(range(n_blocks))


def test_cluster_zero_is_the_largest():
    sizes = (20, 90, 50)
    codes = sparse.block_diag([planted_codes(1, 10, size)[0] for size in sizes])
    result = cluster_codes(codes, 3)
    np.testing.assert_array_equal(np.bincount(result.sample_labels), sorted(sizes, reverse=True))


def test_eigengap_counts_the_blocks():
    for n_blocks in (2, 3, 5):
        codes, blocks, _ = planted_codes(n_blocks)
        assert same_partition(cluster_codes(codes).sample_labels, blocks)
        assert count_clusters(codes) == count_clusters(codes, self_loops=True, regularization=0) == n_blocks
        unused = np.zeros((len(codes), 3))
        assert count_clusters(np.hstack([codes, unused])) == n_blocks
    assert set(cluster_codes(np.eye(2)).atom_labels) == {0, 1}


def naive_merging(graph, regularization, n_clusters):
    """Merge the pair of clusters with the largest weight / (degree · degree), all of it computed afresh every time."""
    n_atoms = len(graph)
    weights = graph + regularization * graph.sum() / n_atoms**2
    clusters = [[atom] for atom in range(n_atoms)]
    while len(clusters) > n_clusters:
        best, pair = -np.inf, None
        for b in range(len(clusters)):
            for a in range(b):
                one, other = clusters[a], clusters[b]
                linkage = weights[np.ix_(one, other)].sum() / (weights[one].sum() * weights[other].sum())
                if linkage > best:
                    best, pair = linkage, (a, b)
        clusters[pair[0]] += clusters.pop(pair[1])
    labels = np.empty(n_atoms, dtype=int)
    for label, members in enumerate(clusters):
        labels[members] = label
    return labels


@pytest.mark.parametrize("seed", range(3))
def test_merging_of_single_atoms_is_average_linkage(seed):
    codes = random_codes(n_atoms=20, seed=seed)
    graph = codes.T @ codes
    np.fill_diagonal(graph, 0)
    for regularization in (0.0, 1.0):
        result = cluster_codes(codes, 4, n_groups=20, n_eigenvectors=20, regularization=regularization)
        assert same_partition(result.atom_labels, naive_merging(graph, regularization, 4))


def edge_information(codes, atom_labels):
    graph = codes.T @ codes
    np.fill_diagonal(graph, 0)
    members = np.eye(atom_labels.max() + 1)[atom_labels]
    return mutual_info_score(None, None, contingency=members.T @ graph @ members)


def test_more_starts_keep_the_partition_that_tells_more():
    codes = random_codes(n_samples=300, n_atoms=60)
    found = [edge_information(codes, cluster_codes(codes, 6, n_groups=12, n_init=n).atom_labels) for n in (1, 5, 60)]
    assert found[0] <= found[1] <= found[2]
    assert found[2] > 1.05 * found[0]


def test_a_few_atoms_apart_are_no_cluster_unless_asked_for():
    codes, blocks, _ = planted_codes(3)
    apart = sparse.block_diag([codes, np.full((3, 2), 0.5)])
    single = {"n_groups": apart.shape[1], "n_eigenvectors": apart.shape[1]}
    result = cluster_codes(apart, 3, **single)
    assert result.n_components == 2
    assert same_partition(result.sample_labels[: len(blocks)], blocks)
    strict = cluster_codes(apart, 3, regularization=0, **single)
    assert set(strict.sample_labels[-3:]) == {2}
    assert 2 not in strict.sample_labels[:-3]


# graphs in pieces, atoms without use


@pytest.mark.parametrize("n_copies", [2, 6])
def test_components_are_counted_and_found_where_they_are_copies(n_copies):
    codes = sparse.block_diag([random_codes(150, 60)] * n_copies)
    result = cluster_codes(codes, n_copies)
    bipartite = sparse.block_array([[None, codes], [codes.T, None]])
    n_components, membership = components_of(bipartite, directed=False)
    assert result.n_components == n_components == n_copies
    assert same_partition(result.sample_labels, membership[: 150 * n_copies])
    assert same_partition(result.atom_labels, membership[150 * n_copies :])


def test_more_components_than_clusters_still_give_labels():
    codes = sparse.block_diag([random_codes(40, 10, seed=seed) for seed in range(5)])
    for options in ({}, PLAIN):
        result = cluster_codes(codes, 3, **options)
        assert result.n_components == 5
        assert set(result.sample_labels) == set(result.atom_labels) == {0, 1, 2}
        for block in result.atom_labels.reshape(5, 10):
            assert len(set(block)) == 1


def test_one_atom_per_sample_makes_atoms_the_clusters():
    atoms = np.random.default_rng(0).integers(4, size=50)
    result = cluster_codes(np.eye(4)[atoms], 4)
    assert result.n_components == 4
    assert same_partition(result.sample_labels, atoms)


def test_an_atom_alone_gets_a_label_and_its_samples_too():
    codes, blocks, _ = planted_codes(3)
    alone = sparse.block_diag([codes, np.ones((2, 1))])
    for options in ({}, {"regularization": 0}, {"self_loops": True}):
        result = cluster_codes(alone, 3, **options)
        assert result.n_components == 2
        assert set(result.atom_labels) == {0, 1, 2}
        assert set(result.sample_labels[-2:]) == {result.atom_labels[-1]}
    assert same_partition(cluster_codes(alone, 3).sample_labels[:-2], blocks)


def test_atoms_never_used_have_no_cluster_and_change_nothing():
    codes, _, _ = planted_codes()
    gaps = [0, 7, 48]
    padded = np.insert(codes, gaps, 0, axis=1)
    unused = ~padded.any(axis=0)
    result, expected = cluster_codes(padded, 4), cluster_codes(codes, 4)
    np.testing.assert_array_equal(result.sample_labels, expected.sample_labels)
    np.testing.assert_array_equal(result.atom_labels[~unused], expected.atom_labels)
    np.testing.assert_array_equal(result.atom_labels[unused], -1)
    np.testing.assert_array_equal(result.atom_embedding[unused], 0)
    assert result.n_components == expected.n_components


@pytest.mark.parametrize("noise", [0, 1e-8, 1e-6, 1e-4, 1e-2])
def test_atoms_that_can_hardly_be_told_apart_are_no_trouble(noise):
    rng = np.random.default_rng(0)
    codes = np.kron(np.eye(3), np.full((30, 20), 0.05)) * (1 + noise * rng.random((90, 60)))
    result = cluster_codes(codes, 3, n_eigenvectors=3)
    assert same_partition(result.atom_labels, np.repeat(range(3), 20))
    assert same_partition(result.sample_labels, np.repeat(range(3), 30))


# new codes


def test_predict_reproduces_the_labels_and_follows_the_larger_share():
    codes, _, _ = planted_codes(noise=1.0)
    result = cluster_codes(codes, 4)
    np.testing.assert_array_equal(result.predict(codes), result.sample_labels)
    first, other = (np.flatnonzero(result.atom_labels == label)[:2] for label in (2, 1))
    new = np.zeros((3, codes.shape[1]))
    new[0, first], new[0, other] = (0.2, 0.2), (0.5, 0.1)
    new[1, first], new[1, other] = (0.4, 0.2), (0.3, 0.1)
    new[2, first[0]] = new[2, other[0]] = 0.5
    np.testing.assert_array_equal(result.predict(new), [1, 2, 1])


def test_predict_without_a_cluster():
    codes = np.insert(planted_codes()[0], 0, 0, axis=1)
    result = cluster_codes(codes, 4)
    new = np.eye(codes.shape[1])[:2]
    np.testing.assert_array_equal(result.predict(new), [-1, result.atom_labels[1]])
    with pytest.raises(ValueError, match=r"codes must have one column per atom \(49\), got shape \(2, 48\)"):
        result.predict(codes[:2, 1:])
    with pytest.raises(ValueError, match="codes must have a non-zero value in every row, got 1 empty rows of 2"):
        result.predict(new * [[0], [1]])


# repeatability and kinds of input


def test_the_order_of_samples_and_atoms_does_not_matter():
    codes, _, _ = planted_codes(noise=0.5)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(codes.shape[0]), rng.permutation(codes.shape[1])
    result, permuted = cluster_codes(codes, 4), cluster_codes(codes[rows][:, columns], 4)
    np.testing.assert_array_equal(permuted.sample_labels, result.sample_labels[rows])
    np.testing.assert_array_equal(permuted.atom_labels, result.atom_labels[columns])
    np.testing.assert_allclose(permuted.eigenvalues, result.eigenvalues, atol=ROUNDED_SUM)
    np.testing.assert_allclose(permuted.embedding, result.embedding[rows], atol=ROUNDED_SUM_OVER_GAP)
    np.testing.assert_allclose(permuted.atom_embedding, result.atom_embedding[columns], atol=ROUNDED_SUM_OVER_GAP)


@pytest.mark.parametrize("n_atoms", [20, 200])
def test_a_seed_gives_the_same_clusters_and_leaves_the_global_generator_alone(n_atoms):
    codes = random_codes(400, n_atoms)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    for one, other in zip(cluster_codes(codes, 5, 3), cluster_codes(codes, 5, 3), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def torch_csr(codes):
    rows = sparse.csr_array(codes)
    parts = (torch.from_numpy(part) for part in (rows.indptr, rows.indices, rows.data))
    return torch.sparse_csr_tensor(*parts, size=rows.shape, check_invariants=True)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.parametrize(
    "convert",
    [
        lambda codes: codes.astype(np.float32),
        sparse.csr_array,
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.lil_array,
        lambda codes: sparse.coo_array(codes.astype(np.float32)),
        torch.from_numpy,
        lambda codes: torch.from_numpy(codes).float().requires_grad_(),
        torch_csr,
    ],
)
def test_every_kind_of_codes_gives_the_same(convert):
    codes, _, _ = planted_codes()
    given = convert(codes)
    expected, result = cluster_codes(codes, 4), cluster_codes(given, 4)
    for name in ("sample_labels", "atom_labels", "embedding", "atom_embedding", "eigenvalues"):
        values, reference = getattr(result, name), getattr(expected, name)
        if isinstance(given, torch.Tensor):
            assert isinstance(values, torch.Tensor)
            assert values.dtype == (given.dtype if "labels" not in name else torch.int64)
        else:
            assert isinstance(values, np.ndarray)
            assert values.dtype == (given.dtype if "labels" not in name else np.int64)
        np.testing.assert_allclose(np.asarray(values), reference, atol=SINGLE)
    assert type(result.predict(given)) is type(result.sample_labels)
    np.testing.assert_array_equal(result.predict(given), expected.sample_labels)


def test_whole_numbers_are_codes_too():
    counts = np.kron(np.eye(3, dtype=int), np.ones((8, 4), dtype=int))
    assert same_partition(cluster_codes(counts, 3).sample_labels, np.repeat(range(3), 8))
    assert same_partition(cluster_codes(sparse.csr_array(counts), 3).sample_labels, np.repeat(range(3), 8))


def test_inputs_are_not_changed():
    codes, _, _ = planted_codes()
    dense, rows = 2 * codes, sparse.csr_array(2 * codes)
    rows.data[::7] = 0  # stored zeros
    before = dense.copy(), rows.data.copy(), rows.indices.copy(), rows.indptr.copy()
    for given in (dense, rows):
        cluster_codes(given, 4).predict(given)
        class_purity(given, np.zeros(len(codes)))
    for values, old in zip((dense, rows.data, rows.indices, rows.indptr), before, strict=True):
        np.testing.assert_array_equal(values, old)


def changed(codes, row, value):
    codes = codes.copy()
    codes[row] = value
    return codes


CODES = planted_codes()[0]


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        (changed(CODES, 0, np.nan), {}, "codes must be finite, got 48 NaN or infinite values"),
        (sparse.csr_array(changed(CODES, 0, np.inf)), {}, "codes must be finite, got 48 NaN or infinite values"),
        (changed(CODES, (0, 0), -0.1), {}, "codes must be non-negative, got 1 negative values"),
        (changed(CODES, 3, 0), {}, "codes must have a non-zero value in every row, got 1 empty rows of 240"),
        (CODES[:3], {}, "n_clusters must be at most the number of samples .* got 4 for 3 samples and 9 atoms"),
        (np.eye(5)[[0, 1, 2] * 3], {}, "n_clusters must be at most .* got 4 for 9 samples and 3 atoms"),
        (CODES[:0], {}, r"codes must hold at least one sample, got shape \(0, 48\)"),
        (CODES[0], {}, r"codes must have 2 dimensions, got shape \(48,\)"),
        (sparse.coo_array(CODES[0]), {}, r"codes must have 2 dimensions, got shape \(48,\)"),
        (CODES.tolist(), {}, "codes must be a NumPy array or a torch tensor, got list"),
        (CODES, {"n_clusters": 0}, "n_clusters must be an integer of at least 1, got 0"),
        (CODES, {"n_eigenvectors": 49}, r"n_eigenvectors must be at most the number of atoms in use \(48\), got 49"),
        (CODES, {"n_eigenvectors": 0}, "n_eigenvectors must be an integer of at least 1, got 0"),
        (CODES, {"n_groups": 3}, "n_groups must be an integer of at least 4, got 3"),
        (CODES, {"n_groups": 49}, r"n_groups must be at most the number of atoms in use \(48\), got 49"),
        (CODES, {"regularization": -1}, "regularization must be a finite number of at least 0, got -1"),
        (CODES, {"n_init": 0}, "n_init must be an integer of at least 1, got 0"),
        (CODES, {"self_loops": "no"}, "self_loops must be True or False, got 'no'"),
        (CODES, {"random_state": None}, "random_state must be an integer of at least 0, got None"),
    ],
)
def test_bad_codes_and_options(codes, options, message):
    with pytest.raises(ValueError, match=message):
        cluster_codes(codes, **({"n_clusters": 4} | options))


# scores


@pytest.mark.parametrize(("n_classes", "n_clusters"), [(4, 4), (3, 5), (5, 3), (4, 1)])
def test_scores_against_all_assignments_and_entropies(n_classes, n_clusters):
    rng = np.random.default_rng(0)
    classes = rng.integers(n_classes, size=60)
    clusters = np.where(rng.random(60) < 0.6, classes % n_clusters, rng.integers(n_clusters, size=60))
    scores = clustering_scores(classes, clusters)
    names = range(max(n_classes, n_clusters))
    assert scores.accuracy == max(np.mean(np.array(names)[clusters] == classes) for names in permutations(names))

    joint = np.array([[np.mean((classes == i) & (clusters == j)) for j in range(n_clusters)] for i in range(n_classes)])

    def entropy(shares):
        return -sum(share * np.log(share) for share in np.ravel(shares) if share > 0)

    rows, columns = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0))
    np.testing.assert_allclose(scores.nmi, 2 * (rows + columns - entropy(joint)) / (rows + columns), atol=ROUNDED_SUM)

    pairs = [(i, j) for i in range(60) for j in range(i)]
    same_class = np.array([classes[i] == classes[j] for i, j in pairs])
    same_cluster = np.array([clusters[i] == clusters[j] for i, j in pairs])
    chance = same_class.sum() * same_cluster.sum() / len(pairs)
    most = (same_class.sum() + same_cluster.sum()) / 2
    np.testing.assert_allclose(
        scores.ari, ((same_class & same_cluster).sum() - chance) / (most - chance), atol=ROUNDED_SUM
    )


def test_scores_do_not_depend_on_names():
    classes = np.repeat(["three", "four"], 5)
    assert clustering_scores(classes, torch.repeat_interleave(torch.tensor([7, -1]), 5)) == (1, 1, 1)
    assert clustering_scores(["a", "a", "b"], [0, 1, 2]).accuracy == 2 / 3


@pytest.mark.parametrize(
    ("labels_true", "labels_pred", "message"),
    [
        ([0, 1], [0, 1, 1], "labels_pred must have as many entries as labels_true, got 3 for 2 samples"),
        ([], [], r"labels_true must be a non-empty array with one dimension, got shape \(0,\)"),
        ([0, np.nan], [0, 1], "labels_true must be finite, got NaN or infinite values"),
        ([0, 1], [0, np.inf], "labels_pred must be finite, got NaN or infinite values"),
        ([0, 1], np.eye(2), r"labels_pred must be a non-empty array with one dimension, got shape \(2, 2\)"),
    ],
)
def test_bad_labels(labels_true, labels_pred, message):
    with pytest.raises(ValueError, match=message):
        clustering_scores(labels_true, labels_pred)


# class purity


def purity_by_hand(values, classes, n_neighbours):
    purities = []
    for i, value in enumerate(values):
        distances = [np.inf if i == j else np.linalg.norm(value - other) for j, other in enumerate(values)]
        nearest = np.argsort(distances)[:n_neighbours]
        purities.append(np.mean(classes[nearest] == classes[i]))
    return purities


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, sparse.coo_matrix, torch.from_numpy, torch_csr])
@pytest.mark.parametrize("max_distances", [1, 1000, 10**6])
def test_purity_against_all_distances(monkeypatch, convert, max_distances):
    monkeypatch.setattr(clustering, "_MAX_DISTANCES", max_distances)
    values, classes, _ = planted_codes(noise=2.0)
    for n_neighbours in (1, 10):
        purity = class_purity(convert(values), classes, n_neighbours)
        np.testing.assert_allclose(purity, purity_by_hand(values, classes, n_neighbours))
    assert 0.3 < purity.mean() < 1


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_neighbours_of_some_samples_are_theirs_among_all(convert):
    values, classes, _ = planted_codes(noise=2.0)
    queries = np.random.default_rng(0).permutation(len(values))[:7]
    nearest = nearest_neighbours(convert(values), 3, queries)
    distances = np.linalg.norm(values[queries, None] - values, axis=2)
    distances[np.arange(7), queries] = np.inf
    np.testing.assert_array_equal(nearest, np.argsort(distances, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(
        class_purity(convert(values), classes, 5, queries), class_purity(values, classes, 5)[queries]
    )


@pytest.mark.parametrize("queries", [[[0, 1]], [0.5], [-1], [5]])
def test_queries_must_be_rows(queries):
    with pytest.raises(ValueError, match=r"queries must be rows of values, integers in 0 … 4, got"):
        nearest_neighbours(np.eye(5), 2, queries)


def test_a_sample_is_not_its_own_neighbour_even_if_it_has_copies():
    values = np.repeat(np.random.default_rng(0).normal(size=(6, 3)), 2, axis=0)
    np.testing.assert_array_equal(class_purity(values, [0, 1] * 6, 1), 0)
    np.testing.assert_array_equal(class_purity(values.astype(np.float32), list("ab") * 6, 11), 5 / 11)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.full((5, 2), np.nan), {}, "values must be finite, got 10 NaN or infinite values"),
        (np.eye(4), {}, r"labels must have one entry per sample \(4\), got 5"),
        (np.eye(5), {"n_neighbours": 5}, r"n_neighbours must be below the number of samples \(5\), got 5"),
        (np.eye(5), {"n_neighbours": 0}, "n_neighbours must be an integer of at least 1, got 0"),
    ],
)
def test_bad_values_for_purity(values, options, message):
    with pytest.raises(ValueError, match=message):
        class_purity(values, np.zeros(5), **options)
