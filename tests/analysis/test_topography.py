from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from wlsc.analysis import topography
from wlsc.analysis.topography import (
    axial,
    between_graphs,
    code_graph,
    column_spacing,
    filter_cosines,
    layout_score,
    morans_i,
    on_sheet,
    pinwheels,
    random_layout,
    ring_noise,
    sheet_weights,
    similarity_by_distance,
    spectral_layout,
    spectrum_cosines,
    swap_layout,
    tsne_layout,
    without_edges,
)


def random_graph(n_units: int, seed: int = 0) -> np.ndarray:
    weights = np.random.default_rng(seed).random((n_units, n_units)) ** 3
    weights = weights + weights.T
    np.fill_diagonal(weights, 0)
    return weights


def ring_graph(n_units: int) -> np.ndarray:
    steps = np.abs(np.arange(n_units)[:, None] - np.arange(n_units))
    steps = np.minimum(steps, n_units - steps)
    return np.exp(-((steps / 2.0) ** 2)) * (steps > 0)


def two_parts(first: int, second: int) -> np.ndarray:
    weights = np.zeros((first + second, first + second))
    weights[:first, :first], weights[first:, first:] = random_graph(first, 1), random_graph(second, 2)
    return weights


# the graph


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, csr_array])
def test_code_graph_is_the_normalised_coupling_without_loops(kind):
    codes = np.random.default_rng(0).normal(size=(60, 7)) * (np.random.default_rng(1).random((60, 7)) < 0.4)
    codes[:, 3] = 0
    coupling = np.array([[np.sum(np.abs(a * b)) if i != j else 0 for j, b in enumerate(codes.T)]
                         for i, a in enumerate(codes.T)])  # fmt: skip
    degrees = np.where(coupling.sum(1) > 0, coupling.sum(1), np.inf)
    np.testing.assert_allclose(code_graph(kind(codes)), coupling / np.sqrt(np.outer(degrees, degrees)), atol=1e-14)


def test_codes_without_a_graph_are_refused():
    with pytest.raises(ValueError, match="codes must use at least two atoms in some row"):
        code_graph(np.eye(4))


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, csr_array])
def test_shares_of_classes_are_weighted_by_codes(kind):
    codes = np.array([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.5, 0.5, 0.0]])
    shares = topography.class_shares(kind(codes), [7, 3, 7])
    np.testing.assert_allclose(shares[:2], [[0.25 / 1.75, 1.5 / 1.75], [0.75 / 1.25, 0.5 / 1.25]])
    assert np.isnan(shares[2]).all()
    with pytest.raises(ValueError, match=re.escape("labels must have shape (3,), got (2,)")):
        topography.class_shares(kind(codes), [7, 3])
    with pytest.raises(ValueError, match="codes must be non-negative, got -1"):
        topography.class_shares(kind(-codes), [7, 3, 7])


def test_similarity_of_filters():
    filters = np.random.default_rng(0).normal(size=(5, 12))
    cosines = filter_cosines(filters)
    spectra = np.abs(np.fft.fft2(filters.reshape(5, 3, 4))).reshape(5, -1)
    spectra = spectra - spectra.mean(axis=0)
    for i, j in itertools.combinations(range(5), 2):
        expected = abs(np.dot(filters[i], filters[j])) / np.linalg.norm(filters[i]) / np.linalg.norm(filters[j])
        assert cosines[i, j] == cosines[j, i] == pytest.approx(expected)
        norms = np.linalg.norm(spectra[i]) * np.linalg.norm(spectra[j])
        assert spectrum_cosines(filters, (3, 4))[i, j] == pytest.approx(max(0, spectra[i] @ spectra[j] / norms))
    assert not np.diag(cosines).any()
    with pytest.raises(ValueError, match="filters must differ from 0"):
        filter_cosines(np.zeros((3, 4)))


def test_edges_are_removed_both_ways_and_more_of_the_same():
    graph = random_graph(20)
    fewer, fewest = without_edges(graph, 0.3, 5), without_edges(graph, 0.6, 5)
    assert (fewer == fewer.T).all()
    assert np.count_nonzero(fewer) == 2 * (190 - 57)
    assert not (fewest[fewer == 0]).any()
    assert not without_edges(graph, 1.0, 5).any()
    np.testing.assert_array_equal(without_edges(graph, 0.0, 5), graph)


def test_graphs_are_mixed_by_their_shares():
    first, second = random_graph(6, 1), 50 * random_graph(6, 2)
    np.testing.assert_allclose(between_graphs(first, second, 0), first / first.sum())
    mixed = between_graphs(first, second, 0.25)
    np.testing.assert_allclose(mixed, 0.75 * first / first.sum() + 0.25 * second / second.sum())
    with pytest.raises(ValueError, match=re.escape("second must have the shape of first, (6, 6), got (5, 5)")):
        between_graphs(first, random_graph(5), 0.5)


# Moran's I


def esda_moran(values: np.ndarray, weights: np.ndarray, n_permutations: int):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies warn of their own future
        import esda
        from libpysal.weights import WSP

        w = WSP(csr_array(weights).tocsr()).to_W(silence_warnings=True)
        w.transform = "o"
        np.random.seed(0)  # noqa: NPY002  it takes no generator
        return esda.Moran(values, w, transformation="o", permutations=n_permutations)


@pytest.mark.equation("eq-moran", "wlsc.analysis.topography.morans_i")
def test_morans_i_is_that_of_pysal():
    values, weights = np.random.default_rng(3).normal(size=25), random_graph(25)
    values += weights[0] * 2
    ours, theirs = morans_i(values, weights, 4000), esda_moran(values, weights, 4000)
    assert ours.statistic == pytest.approx(theirs.I, rel=1e-9)
    assert ours.expected == pytest.approx(theirs.EI, rel=1e-9)
    # 4,000 permutations each: the standard error of a mean is sd / 63, of an sd about sd / 89; five of both together
    assert abs(ours.permuted.mean() - theirs.EI_sim) < 5 * np.sqrt(2) / 63 * theirs.seI_sim
    assert ours.permuted.std() == pytest.approx(theirs.seI_sim, rel=5 * np.sqrt(2) / 89)


def test_mean_over_all_permutations_is_minus_one_over_n_minus_one():
    rng = np.random.default_rng(0)
    weights = random_graph(6)
    for values in (rng.normal(size=6), axial(rng.uniform(0, 180, 6))):
        every = [morans_i(values[list(order)], weights, 2).statistic for order in itertools.permutations(range(6))]
        assert np.mean(every) == pytest.approx(-1 / 5)


def test_permutations_are_those_of_units():
    """All 120 orders of five units, found by brute force; shuffled pairs would have another, narrower spread."""
    values, weights = axial(np.array([0.0, 20.0, 70.0, 100.0, 150.0])), random_graph(5)
    every = [morans_i(values[list(order)], weights, 2).statistic for order in itertools.permutations(range(5))]
    permuted = morans_i(values, weights, 5000).permuted
    assert {round(value, 9) for value in permuted} <= {round(value, 9) for value in every}
    assert permuted.std() == pytest.approx(np.std(every), rel=0.05)  # 5 standard errors, 1 / √(2 · 5,000) each
    centred = values - values.mean()
    pairs = np.real(np.outer(centred, centred.conj()))[np.triu_indices(5, 1)]
    scale = 5 / (weights.sum() * np.sum(np.abs(centred) ** 2))
    rng = np.random.default_rng(0)
    of_pairs = [2 * scale * weights[np.triu_indices(5, 1)] @ rng.permutation(pairs) for _ in range(5000)]
    assert abs(np.std(of_pairs) / np.std(every) - 1) > 0.1


def test_complex_morans_i_is_the_weighted_mean_of_its_parts():
    values, weights = axial(np.random.default_rng(0).uniform(0, 90, 30)), random_graph(30)
    parts = [morans_i(part, weights, 2).statistic for part in (values.real, values.imag)]
    variances = [values.real.var(), values.imag.var()]
    assert morans_i(values, weights, 2).statistic == pytest.approx(np.average(parts, weights=variances))


def test_several_numbers_a_unit_count_by_their_variances():
    values, weights = np.random.default_rng(0).normal(size=(30, 3)) * [1, 2, 3], random_graph(30)
    parts = [morans_i(column, weights, 2).statistic for column in values.T]
    assert morans_i(values, weights, 2).statistic == pytest.approx(np.average(parts, weights=values.var(axis=0)))
    as_complex = morans_i(values[:, 0] + 1j * values[:, 1], weights, 50)
    np.testing.assert_allclose(morans_i(values[:, :2], weights, 50).permuted, as_complex.permuted)


def test_an_axis_is_the_same_after_half_a_turn():
    weights = ring_graph(40)
    angles = np.arange(40) * 9.0
    turned = morans_i(axial(angles + 180.0), weights, 200)
    assert turned.statistic == pytest.approx(morans_i(axial(angles), weights, 200).statistic)
    assert turned.z > 5
    assert turned.p_value == pytest.approx(1 / 201)


def test_strata_take_what_goes_with_them_out():
    """Values that depend on the stratum alone, on a graph of strata: ordered, but not within them."""
    strata = np.repeat(np.arange(4), 10)
    values = strata + 0.1 * np.random.default_rng(0).normal(size=40)
    weights = (strata[:, None] == strata).astype(float)
    assert morans_i(values, weights, 500).z > 10
    within = morans_i(values, weights, 500, strata=strata)
    assert within.permuted.min() == pytest.approx(within.statistic)  # whole strata: nothing within them changes it


@pytest.mark.parametrize(
    ("values", "weights", "options", "sentence"),
    [
        ([1.0, np.nan, 2.0], np.ones((3, 3)), {}, "values must be finite, got 1 of 3 that are not: leave out units"),
        ([1.0, 1.0, 1.0], np.ones((3, 3)), {}, "values must differ between units, got 1.0 for all 3"),
        ([1.0, 2.0], np.ones((2, 2)), {}, "values must be numbers for each of at least 3 units"),
        ([1.0, 2.0, 3.0], np.ones((2, 2)), {}, "weights must have shape (3, 3) for 3 values, got (2, 2)"),
        ([1.0, 2.0, 3.0], np.eye(3), {}, "weights must be at least 0 and join some pair"),
        ([1.0, 2.0, 3.0], np.ones((3, 3)), {"strata": [1, 2]}, "strata must have shape (3,), got (2,)"),
        ([1.0, 2.0, 3.0], np.ones((3, 3)), {"n_permutations": 1}, "n_permutations must be an integer of at least 2"),
    ],
)
@pytest.mark.tried("inputs")
def test_bad_input_of_morans_i(values, weights, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        morans_i(np.array(values), weights, **options)


# sheets and layouts


@pytest.mark.parametrize("torus", [False, True])
def test_neighbours_on_a_sheet(torus):
    places = np.array([(r, c) for r in range(3) for c in range(4)])
    weights = sheet_weights(places, (3, 4), torus)
    for (i, (r, c)), (j, (s, d)) in itertools.product(enumerate(places), repeat=2):
        down, right = abs(r - s), abs(c - d)
        if torus:
            down, right = min(down, 3 - down), min(right, 4 - right)
        assert weights[i, j] == (i != j and max(down, right) <= 1)


def test_neighbours_are_those_of_pysal():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from libpysal.weights import lat2W

        expected = lat2W(4, 5, rook=False).full()[0]
    places = np.stack(np.unravel_index(np.arange(20), (4, 5)), axis=1)
    np.testing.assert_array_equal(sheet_weights(places, (4, 5)), expected)


@pytest.mark.parametrize("torus", [False, True])
@pytest.mark.parametrize("start", ["spectral", "random"])
def test_swaps_find_the_best_of_all_layouts_of_nine_units(start, torus):
    similarity, shape = random_graph(9, 4), (3, 3)
    layout = swap_layout(similarity, shape, start=start, torus=torus)
    cells = np.stack(np.unravel_index(np.arange(9), shape), axis=1)
    apart = np.abs(cells[:, None] - cells)
    apart = np.minimum(apart, 3 - apart) if torus else apart
    kernel = np.exp(-(apart**2).sum(2) / 2)
    orders = np.array(list(itertools.permutations(range(9))))
    every = sum(similarity[i, j] * kernel[orders[:, i], orders[:, j]] for i, j in itertools.combinations(range(9), 2))
    assert layout_score(similarity, layout, shape, torus=torus) == pytest.approx(every.max(), rel=1e-12)


def test_no_swap_of_two_cells_gains():
    similarity, shape = random_graph(30, 2), (5, 7)  # five cells stay empty
    layout = swap_layout(similarity, shape, sigma=0.8, n_kicks=2)
    best = layout_score(similarity, layout, shape, sigma=0.8)
    cells = [tuple(cell) for cell in layout.places]
    free = sorted(set(itertools.product(range(5), range(7))) - set(cells))
    for i, j in itertools.combinations(range(35), 2):
        changed = [*cells, *free]
        changed[i], changed[j] = changed[j], changed[i]
        score = layout_score(similarity, topography.Layout(np.array(changed[:30]), 1), shape, sigma=0.8)
        assert score <= best + 1e-9 * similarity.max()


def test_kicks_never_lose():
    similarity, shape = random_graph(49, 1), (7, 7)
    scores = [layout_score(similarity, swap_layout(similarity, shape, 3, n_kicks=n), shape) for n in (0, 5, 30)]
    assert scores == sorted(scores)
    assert scores[0] > layout_score(similarity, random_layout(49, shape, 0), shape)


def test_wide_gaussians_go_before_on_a_large_sheet():
    assert topography._widths((16, 16), 1.0) == [1.0]
    assert topography._widths((64, 64), 1.0) == [4.0, 2.0, 1.0]
    layout = swap_layout(ring_graph(32 * 32), (32, 32), n_kicks=0)
    assert len(np.unique(layout.places, axis=0)) == 1024


@pytest.mark.parametrize("lay_out", [swap_layout, spectral_layout, tsne_layout])
def test_layouts_bring_neighbours_on_a_ring_together(lay_out):
    weights, shape = ring_graph(64), (8, 8)
    layout = lay_out(weights, shape)
    assert layout.n_parts == 1
    assert len(np.unique(layout.places, axis=0)) == 64
    angles = axial(np.arange(64) * 180.0 / 64)
    ordered = morans_i(angles, sheet_weights(layout.places, shape), 200)
    assert ordered.z > 8


@pytest.mark.parametrize("lay_out", [swap_layout, spectral_layout, tsne_layout])
def test_each_part_of_a_disconnected_graph_is_laid_out_by_itself(lay_out):
    layout = lay_out(two_parts(40, 9), (7, 7))
    assert layout.n_parts == 2
    assert len(np.unique(layout.places, axis=0)) == 49
    if lay_out is not swap_layout:
        assert layout.places[40:, 1].min() >= layout.places[:40, 1].max()


def test_a_unit_without_neighbours_is_a_part():
    weights = random_graph(9)
    weights[4] = weights[:, 4] = 0
    assert spectral_layout(weights, (3, 3)).n_parts == 2


@pytest.mark.parametrize("lay_out", [swap_layout, spectral_layout, tsne_layout])
@pytest.mark.tried("inputs")
def test_bad_input_of_layouts(lay_out):
    with pytest.raises(ValueError, match=re.escape("shape must be (rows, columns) that hold 10 units, got (3, 3)")):
        lay_out(random_graph(10), (3, 3))
    lopsided = random_graph(9)
    lopsided[0, 1] += 1
    for wrong in (lopsided, -random_graph(9), np.ones((2, 3))):
        with pytest.raises(ValueError, match="similarity must be symmetric and at least 0"):
            lay_out(wrong, (3, 3))
    with pytest.raises(ValueError, match="similarity must join some pair of units"):
        lay_out(np.eye(9), (3, 3))


@pytest.mark.tried("inputs")
def test_bad_places():
    with pytest.raises(ValueError, match="places must lie on the sheet"):
        sheet_weights(np.array([[0, 3], [0, 1]]), (3, 3))
    with pytest.raises(ValueError, match="places must hold one unit each, got 2 units on 1 places"):
        sheet_weights(np.array([[0, 1], [0, 1]]), (3, 3))
    with pytest.raises(ValueError, match=re.escape("places must be integers of shape (n_units, 2)")):
        sheet_weights(np.array([[0.5, 1.0]]), (3, 3))


def test_similarity_by_distance_is_the_mean_over_pairs():
    shape = (4, 5)
    values, layout = axial(np.random.default_rng(0).uniform(0, 180, 20)), random_layout(20, shape, 1)
    profile = similarity_by_distance(values, layout.places, 3, 400)
    z = values - values.mean()
    z = z / np.sqrt(np.mean(np.abs(z) ** 2))
    for index in range(3):
        pairs = [
            (i, j)
            for i, j in itertools.combinations(range(20), 2)
            if abs(np.linalg.norm(layout.places[i] - layout.places[j]) - index - 1) <= 0.5
        ]
        assert profile.similarity[index] == pytest.approx(np.mean([np.real(z[i] * z[j].conj()) for i, j in pairs]))
        distances = [np.linalg.norm(layout.places[i] - layout.places[j]) for i, j in pairs]
        assert profile.distances[index] == pytest.approx(np.mean(distances))
    assert (profile.low < profile.high).all()
    with pytest.raises(ValueError, match="n_bins must be at most"):
        similarity_by_distance(values, layout.places, 9)


# maps


def spiral(charges: list[tuple[float, float, float]], shape: tuple[int, int] = (24, 24)) -> np.ndarray:
    """e^{2iθ} of pinwheels (row, column, charge ±½), row 0 on top."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    angle = sum(2 * charge * np.arctan2(row - rows, columns - column) for row, column, charge in charges)
    return np.exp(1j * angle)


def test_pinwheels_of_known_charge_are_found_where_they_are():
    known = [(5.5, 6.5, 0.5), (5.5, 16.5, -0.5), (17.5, 10.5, 0.5)]
    found = pinwheels(spiral(known))
    assert {(r + 0.5, c + 0.5, found[r, c]) for r, c in np.argwhere(found)} == set(known)


def test_charges_add_up_to_the_turn_around_the_border():
    """Of any map, as the winding number says: here of noise."""
    rng = np.random.default_rng(0)
    field = rng.normal(size=(12, 9)) + 1j * rng.normal(size=(12, 9))
    border = np.concatenate([field[-1, :-1], field[::-1, -1][:-1], field[0, ::-1][:-1], field[:-1, 0]])
    steps = np.angle(np.roll(border, -1) * border.conj())
    assert pinwheels(field).sum() == pytest.approx(steps.sum() / (4 * np.pi))


def test_pinwheels_beside_an_empty_cell_are_not_known():
    field = spiral([(5.5, 6.5, 0.5)])
    field[0, 0] = np.nan
    found = pinwheels(field)
    assert np.isnan(found[0, 0])
    assert np.nansum(found) == 0.5


def test_ring_noise_has_pi_pinwheels_per_squared_spacing():
    """⟨k²⟩/4π zeros per area; the ring of a tenth adds about 1 % to the π of a thin one."""
    densities, spacings = [], []
    for seed in range(20):
        field = ring_noise((128, 128), 12.0, seed)
        spacing = column_spacing(field)
        densities.append(np.abs(pinwheels(field)).sum() * 2 * spacing**2 / 127**2)
        spacings.append(spacing)
    # pinwheels of so few columns vary: 20 maps of about 100 square spacings
    assert np.mean(densities) == pytest.approx(np.pi, abs=5 * np.std(densities) / np.sqrt(20))
    assert np.std(densities) < 0.3
    assert np.mean(spacings) == pytest.approx(12, rel=0.03)


def test_column_spacing_of_a_wave_is_its_length():
    x = np.arange(64)
    wave = np.exp(2j * np.pi * x / 16)[None, :] * np.ones((64, 1))
    assert column_spacing(wave + 3) == pytest.approx(16)


def test_a_property_lies_where_its_unit_does():
    layout = random_layout(5, (2, 3), 0)
    image = on_sheet(np.arange(5.0), layout.places, (2, 3))
    assert [image[tuple(place)] for place in layout.places] == list(range(5))
    assert np.isnan(image).sum() == 1


@pytest.mark.tried("inputs")
def test_bad_fields():
    with pytest.raises(ValueError, match="field must be a complex image of at least 2 × 2"):
        pinwheels(np.ones((3, 3)))
    with pytest.raises(ValueError, match="field must have an orientation everywhere, got 9 cells without one"):
        pinwheels(np.zeros((3, 3), dtype=complex))
    with pytest.raises(ValueError, match="field must vary over the sheet"):
        column_spacing(np.ones((4, 4), dtype=complex))
    with pytest.raises(ValueError, match="wavelength must be at least 2 cells"):
        ring_noise((8, 8), 1.0, 0)
