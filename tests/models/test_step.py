"""The step size follows the dictionary; the network in half precision, under torch.func, exported and in ONNX."""

import copy

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, jacrev, stack_module_state, vmap

from wlsc.inference.unrolled import encode_unrolled
from wlsc.models import HardThresholdAutoencoder, SparseCodingAutoencoder, WLSCAutoencoder, _unrolled

KINDS = [WLSCAutoencoder, SparseCodingAutoencoder, HardThresholdAutoencoder]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make(kind=WLSCAutoencoder, n_layers=12, seed=0, **options):
    return kind(6, 9, 0.1, n_layers, generator=seeded(seed), **options)


def draw(n_samples=20, dtype=torch.float32):
    return torch.randn(n_samples, 6, generator=seeded(1), dtype=dtype)


def replaced(model):
    model.dictionary = torch.nn.Parameter(2 * model.dictionary.detach())
    return model


def changed(change):
    """Let ``change`` change the dictionary, and return the model."""

    def apply(model):
        change(model)
        return model

    return apply


@torch.no_grad()
def in_place(model):
    model.dictionary.mul_(1.5)


def stepped(model):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model.loss(draw()).backward()
    optimizer.step()


def reassigned(model):
    model.dictionary.data = 0.5 * model.dictionary.data


CHANGES = {
    "in place": changed(in_place),
    "through .data": changed(lambda model: model.dictionary.data.mul_(0.7)),
    ".data replaced": changed(reassigned),
    "one entry": changed(lambda model: model.dictionary.data[0].mul_(3)),
    "an optimiser": changed(stepped),
    "set_dictionary": changed(lambda model: model.set_dictionary(3 * draw(9))),
    "load_state_dict": changed(lambda model: model.load_state_dict(make(seed=5).state_dict())),
    "assigned": changed(lambda model: model.load_state_dict(make(seed=6).state_dict(), assign=True)),
    "another parameter": replaced,
    "another dtype": lambda model: model.double(),
    "half precision": lambda model: model.bfloat16(),
    "a copy": lambda model: CHANGES["in place"](copy.deepcopy(model)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_step_follows_the_dictionary(change):
    model = make()
    model.encode(draw())
    model = CHANGES[change](model)
    expected = np.linalg.norm(model.dictionary.detach().double().numpy(), 2) ** -2
    assert float(model.step_size) == pytest.approx(expected, rel=1e-5)
    assert float(model.step_size) == pytest.approx(expected, rel=1e-5)


def test_the_step_is_computed_once_for_one_dictionary(monkeypatch):
    calls = []

    def counted(dictionary):
        calls.append(dictionary)
        return 1 / torch.linalg.matrix_norm(dictionary.detach(), 2).square()

    model = make()
    monkeypatch.setattr(_unrolled, "spectral_step_size", counted)
    for _ in range(3):
        model.loss(draw()).backward()
    assert len(calls) == 0
    in_place(model)
    for _ in range(3):
        model(draw())
    assert len(calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_flows_through_a_fixed_step(kind):
    model = make(kind).double()
    frozen = make(kind, step="learned").double()
    frozen.set_dictionary(model.dictionary)
    for network in (model, frozen):
        network.loss(draw(dtype=torch.float64)).backward()
    torch.testing.assert_close(model.dictionary.grad, frozen.dictionary.grad)
    assert float(frozen.log_step.grad.abs()) > 0


@pytest.mark.parametrize("step", ["fixed", "learned"])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_the_network_of_the_rounded_dictionary(kind, step):
    model = make(kind, n_layers=5, step=step).bfloat16()
    rounded = make(kind, n_layers=5, step=step)
    rounded.load_state_dict(model.state_dict())
    patches = draw().bfloat16()
    reconstruction, codes = model(patches)
    assert reconstruction.dtype == codes.dtype == torch.bfloat16
    model.loss(patches).backward()
    assert bool(torch.isfinite(model.dictionary.grad).all())
    if kind is not HardThresholdAutoencoder:  # whose codes jump where a threshold is passed
        # bfloat16 rounds to 2⁻⁸ of a value, here up to 3 before the threshold, twice a layer
        assert float((codes.float() - rounded(patches.float())[1]).detach().abs().max()) < 5 * 2 * 3 * 2**-8


def test_codes_in_half_precision_stay_on_the_simplex():
    codes = WLSCAutoencoder(6, 500, 0.1, 5, generator=seeded()).bfloat16()(draw().bfloat16())[1]
    codes = codes.detach().float()
    assert float(codes.min()) >= 0
    # each of the codes in use is rounded by at most 2⁻⁹ of itself
    torch.testing.assert_close(codes.sum(1), torch.ones(20), atol=2**-9, rtol=0)


def test_autocast_is_the_network_in_mixed_precision():
    model = make(n_layers=5)
    with torch.autocast("cpu", torch.bfloat16):
        codes = model.encode(draw())
    assert float((codes.float() - model.encode(draw())).detach().abs().max()) < 5 * 2 * 3 * 2**-8


@pytest.mark.parametrize("step", ["fixed", "learned"])
@pytest.mark.parametrize("kind", KINDS)
def test_transforms_of_torch_func(kind, step):
    model, patches = make(kind, step=step).double(), draw(5, torch.float64)
    codes = model.encode(patches).detach()
    torch.testing.assert_close(vmap(lambda patch: model(patch[None])[1][0])(patches).detach(), codes)
    with torch.no_grad():
        torch.testing.assert_close(vmap(lambda patch: model(patch[None])[1][0])(patches), codes)

    in_place(model)  # whose step has then to be found within the transform
    gradient = grad(model.loss)(patches)
    variable = patches.clone().requires_grad_()
    model.loss(variable).backward()
    torch.testing.assert_close(gradient, variable.grad)
    assert float(model.step_size.detach()) == pytest.approx(float(make_like(model).step_size.detach()), rel=1e-12)

    jacobians = vmap(jacrev(lambda patch: model.encode(patch[None])[0]))(patches)
    for patch, jacobian in zip(patches, jacobians, strict=True):
        np.testing.assert_allclose(jacobian.detach(), central_differences(model, patch), atol=1e-6)


def make_like(model):
    """A new model with the parameters of another."""
    new = type(model)(6, 9, 0.1, 12, step="fixed" if model.log_step is None else "learned").double()
    new.load_state_dict(model.state_dict())
    return new


@torch.no_grad()
def central_differences(model, patch, width=1e-6):
    moves = width * torch.eye(6, dtype=torch.float64)
    ahead, behind = model.encode(patch + moves), model.encode(patch - moves)
    return ((ahead - behind) / (2 * width)).T


@pytest.mark.parametrize("kind", KINDS)
def test_models_side_by_side_under_vmap(kind):
    models = [make(kind, seed=seed) for seed in range(3)]
    state, base = stack_module_state(models), copy.deepcopy(models[0])
    patches = draw()
    together = vmap(lambda *weights: functional_call(base, weights, (patches,))[1])(*state)
    torch.testing.assert_close(together, torch.stack([model(patches)[1] for model in models]))


def test_gradients_of_single_samples():
    model, patches = make().double(), draw(4, torch.float64)

    def loss(parameters, patch):
        reconstruction, codes = functional_call(model, parameters, (patch[None],))
        return (reconstruction - patch).square().sum() + codes.square().sum()

    parameters = {name: value.detach() for name, value in model.named_parameters()}
    each = vmap(grad(loss), (None, 0))(parameters, patches)["dictionary"]
    for patch, found in zip(patches, each, strict=True):
        model.zero_grad()
        reconstruction, codes = model(patch[None])
        ((reconstruction - patch).square().sum() + codes.square().sum()).backward()
        torch.testing.assert_close(found, model.dictionary.grad)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch.export about itself
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_export_and_compilation_take_the_dictionary_as_it_is(kind):
    model, patches = make(kind, n_layers=4), draw()
    model(patches)
    in_place(model)
    exported = torch.export.export(model, (patches,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},)).module()
    for ours, theirs in zip(model(patches[:7]), exported(patches[:7]), strict=True):
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        exported = torch.export.export(model, (patches,)).module()
        torch.testing.assert_close(model(patches)[0], exported(patches)[0])
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(model(patches)[1], compiled(patches)[1])
        in_place(model)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch.onnx about itself
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_exported_encoder_gives_the_same_codes_under_onnx_runtime(tmp_path, scale):
    import onnxruntime

    model = WLSCAutoencoder(16, 40, 0.1, 6, generator=seeded()).eval()
    patches = scale * torch.randn(30, 16, generator=seeded(1))
    model.set_dictionary(scale * torch.randn(40, 16, generator=seeded(2)))
    path = tmp_path / "encoder.onnx"
    dynamic = ({0: torch.export.Dim("n_samples", min=1)},)
    torch.onnx.export(model, (patches[:5],), path, dynamo=True, dynamic_shapes=dynamic, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    reconstruction, codes = session.run(None, {entry.name: patches.numpy()})
    with torch.no_grad():
        expected = encode_unrolled(patches, model.dictionary, 0.1, 6)
    np.testing.assert_allclose(codes, expected, atol=1e-5)
    np.testing.assert_allclose(reconstruction, expected @ model.dictionary.detach(), atol=1e-5 * scale)
