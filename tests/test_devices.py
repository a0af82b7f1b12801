"""The same numbers on whatever device is there: CUDA natively, and elsewhere the path that CUDA takes, on the CPU."""

import dataclasses
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import wlsc
from tests.conftest import give_up
from tests.devices import DEVICE, NEEDS_CUDA
from tests.test_dictionary import draw
from tests.test_problem import minimum
from tests.test_simplex import project_by_bisection
from wlsc import experiments
from wlsc.dictionary import SufficientStatistics, closed_form_update
from wlsc.inference import exact, unrolled
from wlsc.models import WLSCAutoencoder

#: Single precision, for sums of some hundred terms of size 1.
SINGLE = 1e-5


@pytest.fixture(autouse=True)
def path_of_cuda(monkeypatch):
    """The solver in compiled code is for the CPU alone."""
    monkeypatch.setattr(exact, "has_numba", lambda: False)


def on_device(*arrays, dtype=torch.float32):
    return [torch.as_tensor(array, dtype=dtype, device=DEVICE) for array in arrays]


@pytest.mark.parametrize("n_atoms", [3, 50, 1500])
def test_projection_is_that_of_bisection(n_atoms):
    values = np.random.default_rng(0).normal(size=(20, n_atoms))
    (given,) = on_device(values)
    projected = wlsc.project_simplex(given)
    assert projected.device == given.device
    expected = [project_by_bisection(row) for row in values]
    np.testing.assert_allclose(projected.cpu(), expected, atol=SINGLE)


@pytest.mark.parametrize("lam", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_exact_codes_reach_the_optimum_of_scipy(lam, dtype, tol):
    rng = np.random.default_rng(1)
    patches, dictionary = rng.normal(size=(6, 5)), rng.normal(size=(8, 5))
    given = on_device(patches, dictionary, dtype=dtype)
    codes, info = wlsc.infer_codes(*given, lam, return_info=True)
    assert codes.device == given[0].device and codes.dtype == dtype
    assert float(info.residuals.max()) <= tol
    for patch, code in zip(patches, codes.double().cpu().numpy(), strict=True):
        value = 0.5 * np.sum((patch - code @ dictionary) ** 2) + lam * code @ np.sum((patch - dictionary) ** 2, axis=1)
        scale = (1 + 2 * lam) * max(np.sum(patch**2), np.sum(dictionary**2, axis=1).max())
        assert value <= minimum(patch, dictionary, lam) + 2 * tol * scale  # the gap, and rounding of the data


@pytest.mark.parametrize("output", ["dense", "csr"])
def test_samples_that_have_converged_leave_and_come_back_in_their_places(output):
    rng = np.random.default_rng(2)
    dictionary = rng.normal(size=(30, 10))
    near, far = dictionary[:15] + 1e-3, rng.normal(size=(15, 10))  # a few layers are enough, and many are needed
    patches = np.stack([near, far], axis=1).reshape(30, 10)
    codes = wlsc.infer_codes(*on_device(patches, dictionary), 0.5, output=output)
    dense = (codes.to_dense() if output == "csr" else codes).cpu().numpy()
    np.testing.assert_allclose(dense.sum(axis=1), 1, atol=SINGLE)
    np.testing.assert_array_equal(dense[::2].argmax(axis=1), np.arange(15))


def test_dictionary_update_solves_its_equations():
    patches, dictionary, codes = on_device(*draw(), dtype=torch.float64)
    lam = 0.3
    updated = closed_form_update(SufficientStatistics.of(codes, patches), dictionary, lam)
    assert updated.device == patches.device
    x, y = codes.cpu().numpy(), patches.cpu().numpy()
    expected = np.linalg.solve(x.T @ x + 2 * lam * np.diag(x.sum(0)), (1 + 2 * lam) * x.T @ y)
    np.testing.assert_allclose(updated.cpu(), expected, atol=1e-9)


@NEEDS_CUDA
def test_gradients_of_the_network_are_those_of_the_cpu():
    losses, gradients = [], []
    for device in ("cpu", DEVICE):
        model = WLSCAutoencoder(6, 9, 0.1, 15, generator=torch.Generator().manual_seed(0)).to(device)
        patches = torch.randn(20, 6, generator=torch.Generator().manual_seed(1)).to(device)
        loss = model.loss(patches)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(model.dictionary.grad.cpu().numpy())
    assert losses[0] == pytest.approx(losses[1], rel=SINGLE)
    np.testing.assert_allclose(gradients[0], gradients[1], atol=SINGLE)


@pytest.mark.parametrize("trainer", ["closed_form", pytest.param("unrolled", marks=NEEDS_CUDA)])
def test_a_training_ends_as_in_compiled_code_and_is_kept_for_the_cpu(trainer, tmp_path, monkeypatch):
    config = experiments.Config(
        "digits",
        experiments.DataConfig("digits", "embedded", {"unit_norm": True}),
        experiments.ModelConfig("wlsc", 30, 0.5),
        experiments.TrainingConfig(n_epochs=2, batch_size=300, trainer=trainer),
    )
    ends = []
    for device, compiled in (("cpu", True), (DEVICE, False)):
        monkeypatch.setattr(exact, "has_numba", lambda compiled=compiled: compiled)
        monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / f"{device}-{compiled}"))
        run = experiments.run(dataclasses.replace(config, device=device))
        ends.append(run.history["objective"][-1])
        assert run.model().dictionary.device.type == "cpu"
    assert ends[0] == pytest.approx(
        ends[1], rel=1e-4
    )  # either code is optimal within 1e-5, which a training carries on


@pytest.mark.parametrize(("rate", "precision"), [("highest", "float32"), ("high", "tf32"), ("medium", "bfloat16")])
def test_the_fused_layers_are_given_the_precision_that_torch_names(monkeypatch, rate, precision):
    if find_spec("triton") is None:
        give_up("Triton is for Linux")
    from wlsc.inference import _fused as fused_module

    asked = []

    def fused(gram, linear, n_layers, step_size, precision):
        asked.append(precision)
        return unrolled.unroll(gram, linear, n_layers, step_size)

    monkeypatch.setattr(unrolled, "_can_be_fused", lambda *_: True)
    monkeypatch.setattr(fused_module, "fused_unroll", fused)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(rate)
        wlsc.infer_codes(*on_device(np.eye(3), np.eye(3)), 0.1, "unrolled", n_layers=2)
    finally:
        torch.set_float32_matmul_precision(before)
    assert asked == [precision]


class OnCuda(torch.Tensor):
    """A tensor that says it lies on a CUDA device."""

    is_cuda = True


@pytest.mark.parametrize(
    ("changes", "fused"),
    [
        ({}, True),
        ({"kind": torch.Tensor}, False),
        ({"dtype": torch.float64}, False),
        ({"differentiated": "linear"}, False),
        ({"differentiated": "step"}, False),
        ({"shared_memory": 48 * 1024}, False),  # what every GPU grants without being asked for more
        ({"modules": ()}, False),
    ],
)
def test_the_fused_layers_are_for_single_precision_on_a_large_gpu(monkeypatch, changes, fused):
    given = {"kind": OnCuda, "dtype": torch.float32, "differentiated": "", "shared_memory": 227 * 1024} | changes
    device = SimpleNamespace(shared_memory_per_block_optin=given["shared_memory"])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: device)
    modules = given.get("modules", ("triton",))
    monkeypatch.setattr(unrolled, "find_spec", lambda name: object() if name in modules else None)
    gram, linear = (torch.eye(3, dtype=given["dtype"]).as_subclass(given["kind"]) for _ in range(2))
    step = torch.tensor(1.0)
    for name, tensor in (("linear", linear), ("step", step)):
        tensor.requires_grad_(given["differentiated"] == name)
    assert unrolled._can_be_fused(gram, linear, step) is fused
    with torch.no_grad():
        assert unrolled._can_be_fused(gram, linear, step) is (fused or bool(given["differentiated"]))
