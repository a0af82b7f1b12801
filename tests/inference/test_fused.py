"""The fused layers against the network in float64 NumPy: natively on CUDA, through Triton's interpreter elsewhere."""

import numpy as np
import pytest
import torch

from tests.devices import DEVICE

INTERPRETED = DEVICE == "cpu"

# Triton looks at the variable while it decorates kernels, its own library's among them, at the first import and the
# first launch: it is set for this import and, below, for these tests alone. Without CUDA nothing else in the package or
# its tests imports Triton, so that no kernel decorated here can meet one decorated otherwise.
with pytest.MonkeyPatch.context() as environment:
    if INTERPRETED:
        environment.setenv("TRITON_INTERPRET", "1")
    import triton
    import triton.language as tl

    from wlsc.inference._fused import _simplex_threshold, fused_unroll

    @triton.jit
    def _threshold_kernel(values, start, result, n_values, WIDTH: tl.constexpr):
        row = tl.program_id(0) + tl.arange(0, 1)
        column = tl.arange(0, WIDTH)
        at = row[:, None] * n_values + column[None, :]
        tile = tl.load(values + at, mask=(column < n_values)[None, :], other=-float("inf"))
        tl.store(result + row, _simplex_threshold(tile, tl.load(start + row)))


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch):
    """Interpret bfloat16 products too: the interpreter keeps the bits as integers, and would multiply those."""
    if not INTERPRETED:
        return
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    from triton.runtime import interpreter

    plain_dot = interpreter.InterpreterBuilder.create_dot

    def widen(handle):
        if handle.dtype != tl.bfloat16:
            return handle
        return interpreter.TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(builder, left, right, *rest):
        return plain_dot(builder, widen(left), widen(right), *rest)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)


def sorted_threshold(values):
    """τ = max_k (v₍₁₎ + … + v₍ₖ₎ − 1)/k for every row."""
    decreasing = -np.sort(-values, axis=1)
    return ((np.cumsum(decreasing, axis=1) - 1) / np.arange(1, values.shape[1] + 1)).max(axis=1)


def network(gram, linear, n_layers, step_size):
    """The layers as they are defined, in float64."""
    codes = extrapolated = np.zeros_like(linear)
    for layer in range(n_layers):
        values = extrapolated - step_size * (extrapolated @ gram - linear)
        following = np.maximum(values - sorted_threshold(values)[:, None], 0)
        extrapolated = following + layer / (layer + 3) * (following - codes)
        codes = following
    return codes


def problem(n_samples, n_atoms, n_features, lam, seed=0, mean=0.5):
    """Patches and a dictionary with entries around ``mean``, and G, b and 1/σ² in float64."""
    random = np.random.default_rng(seed)
    patches = random.normal(mean, 1, (n_samples, n_features))
    dictionary = random.normal(mean, 1, (n_atoms, n_features))
    return patches, dictionary, *quadratic(patches, dictionary, lam)


def quadratic(patches, dictionary, lam):
    gram = dictionary @ dictionary.T
    linear = (1 + 2 * lam) * patches @ dictionary.T - lam * np.diag(gram)
    return gram, linear, 1 / np.linalg.norm(dictionary, 2) ** 2


def fused(gram, linear, n_layers, step_size, precision="float32"):
    as_tensor = [torch.tensor(values, dtype=torch.float32, device=DEVICE) for values in (gram, linear)]
    codes = fused_unroll(*as_tensor, n_layers, step_size, precision)
    assert codes.shape == linear.shape
    assert codes.dtype == torch.float32
    return codes.cpu().numpy().astype(np.float64)


def relative_error(codes, reference):
    return np.linalg.norm(codes - reference) / np.linalg.norm(reference)


def penalised_objective(patches, dictionary, codes, lam):
    distances = ((patches[:, None] - dictionary) ** 2).sum(-1)
    return (0.5 * ((patches - codes @ dictionary) ** 2).sum(1) + lam * (codes * distances).sum(1)).mean()


@pytest.mark.parametrize("n_layers", [1, 2, 12])
@pytest.mark.parametrize(
    ("n_samples", "n_atoms"), [(1, 1), (3, 1), (1, 40), (64, 16), (65, 17), (70, 100), (33, 300), (17, 520)]
)
def test_float32_codes_are_the_networks(n_samples, n_atoms, n_layers):
    _, _, gram, linear, step = problem(n_samples, n_atoms, 30, 0.1)
    reference = network(gram, linear, n_layers, step)
    assert relative_error(fused(gram, linear, n_layers, step), reference) < 1e-5


@pytest.mark.parametrize(("n_samples", "n_atoms", "n_layers"), [(3, 1025, 4), (1, 1300, 1), (129, 1030, 2)])
def test_more_atoms_than_fit_on_chip(n_samples, n_atoms, n_layers):
    _, _, gram, linear, step = problem(n_samples, n_atoms, 30, 0.1)
    reference = network(gram, linear, n_layers, step)
    assert relative_error(fused(gram, linear, n_layers, step), reference) < 1e-5


@pytest.mark.parametrize("n_atoms", [60, 1030])
def test_zero_patches_duplicate_atoms_and_no_penalty(n_atoms):
    patches, dictionary, *_ = problem(5, n_atoms, 10, 0.0)
    patches[::2] = 0
    dictionary[1::2] = dictionary[::2]
    dictionary[-1] = 0
    gram, linear, step = quadratic(patches, dictionary, 0.0)
    n_layers = 20 if n_atoms == 60 else 2
    reference = network(gram, linear, n_layers, step)
    assert relative_error(fused(gram, linear, n_layers, step), reference) < 1e-5


@pytest.mark.parametrize("n_atoms", [20, 1030])
def test_a_dictionary_of_zeros_gives_the_centre_of_the_simplex(n_atoms):
    codes = fused(np.zeros((n_atoms, n_atoms)), np.zeros((2, n_atoms)), 2, 1.0)
    np.testing.assert_allclose(codes, 1 / n_atoms, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("n_atoms", [40, 1030])
def test_the_scale_of_the_data_does_not_matter(n_atoms, scale):
    patches, dictionary, *_ = problem(3, n_atoms, 20, 0.1)
    gram, linear, step = quadratic(scale * patches, scale * dictionary, 0.1)
    assert relative_error(fused(gram, linear, 2, step), network(gram, linear, 2, step)) < 1e-5


@pytest.mark.parametrize("n_atoms", [40, 1030])
def test_a_linear_term_that_dwarfs_the_simplex(n_atoms):
    # max(v) − 1 is max(v) in float32 here: without the shift of each sample's maximum no threshold would be found.
    _, _, gram, linear, step = problem(4, n_atoms, 20, 0.1)
    linear = 1e10 * linear
    codes = fused(gram, linear, 2, step)
    np.testing.assert_array_equal(codes, np.arange(n_atoms) == linear.argmax(1)[:, None])


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize(("n_samples", "n_atoms"), [(40, 20), (33, 1), (70, 33)])
def test_low_precision_moves_the_optimum_no_further_than_its_rounding(n_samples, n_atoms, precision):
    # After 60 layers these well-conditioned problems are solved. Rounding both operands of z·G by u moves the gradient
    # by at most 2u ‖|G|‖ ‖z‖ with G centred, and the optimum by that over the least curvature on the simplex. bfloat16
    # holds 8 significant bits and tf32 11; rounding towards zero loses up to one unit in the last of them (as the
    # interpreter does for bfloat16 and the matrix units for tf32; the interpreter computes tf32 products in float32).
    _, _, gram, linear, step = problem(n_samples, n_atoms, 400, 0.05)
    unit = {"tf32": 2.0**-10, "bfloat16": 2.0**-7}[precision]
    off_simplex = np.eye(n_atoms) - 1 / n_atoms
    centred = off_simplex @ gram @ off_simplex
    curvature = np.linalg.eigvalsh(centred)[1] if n_atoms > 1 else 1.0
    tolerance = 2 * unit * np.linalg.norm(np.abs(centred), 2) / curvature + 1e-6
    reference = network(gram, linear, 60, step)
    assert relative_error(fused(gram, linear, 60, step, precision), reference) < tolerance


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("n_atoms", [90, 1030])
def test_low_precision_leaves_the_objective_within_1e_4(n_atoms, precision):
    # Far from the origin, as images are: products with a Gram matrix that is not centred would miss the target.
    patches, dictionary, *_ = problem(4, n_atoms, 25, 0.1, mean=2.0)
    patches = np.abs(patches)
    dictionary = np.abs(dictionary)
    gram, linear, step = quadratic(patches, dictionary, 0.1)
    n_layers = 40 if n_atoms == 90 else 2
    reference = penalised_objective(patches, dictionary, network(gram, linear, n_layers, step), 0.1)
    codes = fused(gram, linear, n_layers, step, precision)
    assert penalised_objective(patches, dictionary, codes, 0.1) == pytest.approx(reference, rel=1e-4)
    np.testing.assert_allclose(codes.sum(1), 1, rtol=1e-5)
    assert codes.min() >= 0


def test_bfloat16_rounds_the_operands():
    # If this fails, "bfloat16" computes something else, and the two tests above say nothing about it.
    _, _, gram, linear, step = problem(16, 40, 20, 0.1)
    reference = network(gram, linear, 20, step)
    assert relative_error(fused(gram, linear, 20, step, "bfloat16"), reference) > 1e-5


@pytest.mark.parametrize("n_atoms", [50, 1030])
def test_repeats_bitwise_and_leaves_its_inputs_alone(n_atoms):
    _, _, gram, linear, step = problem(3, n_atoms, 20, 0.1)
    tensors = [torch.tensor(values, dtype=torch.float32, device=DEVICE) for values in (gram, linear)]
    kept = [tensor.clone() for tensor in tensors]
    first = fused_unroll(*tensors, 2, step)
    second = fused_unroll(*tensors, 2, torch.tensor(step, device=DEVICE, requires_grad=True))
    assert torch.equal(first, second)
    assert not second.requires_grad
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, kept, strict=True))


def test_strided_inputs_and_empty_batches():
    _, _, gram, linear, step = problem(6, 50, 20, 0.1)
    tensors = [torch.tensor(values, dtype=torch.float32, device=DEVICE) for values in (gram, linear)]
    strided = [tensor.T.contiguous().T for tensor in tensors]
    assert torch.equal(fused_unroll(*strided, 4, step), fused_unroll(*tensors, 4, step))
    assert fused_unroll(tensors[0], tensors[1][:0], 4, step).shape == (0, 50)


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("offset", [-1e6, -1.5, 0.0, 1e-3, 1e6])
def test_threshold_from_any_start(scale, offset):
    # Starts far left of the values, among them, and far right of them, where no value is above; values with ties.
    random = np.random.default_rng(1)
    values = (scale * random.normal(size=(6, 50))).astype(np.float32)
    values[1, 10:30] = values[1, 10]
    values[2] = values[2, 0]
    exact = sorted_threshold(values.astype(np.float64))
    found = torch.empty(6, device=DEVICE)
    start = torch.tensor(exact + offset, dtype=torch.float32, device=DEVICE)
    _threshold_kernel[(6,)](torch.from_numpy(values).to(DEVICE), start, found, 50, WIDTH=64, enable_fp_fusion=True)
    np.testing.assert_allclose(found.cpu().numpy(), exact, rtol=2e-6, atol=2e-6)
