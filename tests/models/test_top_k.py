"""TopK, BatchTopK, JumpReLU and Matryoshka against NumPy, brute force and finite differences."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tests.finite_differences import assert_gradient
from wlsc.models import BatchTopKAutoencoder, JumpReLUAutoencoder, MatryoshkaAutoencoder, TopKAutoencoder
from wlsc.models.autoencoder import geometric_median
from wlsc.models.top_k import keep_largest
from wlsc.training import GradientTrainer, train


def draw(n_samples=40, n_features=6, seed=1):
    return torch.randn(n_samples, n_features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(kind=TopKAutoencoder, *arguments, **options):
    model = kind(6, 10, *(arguments or (3,)), torch.Generator().manual_seed(0), **options).double()
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.add_(0.1 * draw(parameter.numel(), 1, index).reshape(parameter.shape))
    model.constrain()
    return model


def numpy_activations(model, samples):
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    return np.maximum((samples.numpy() - weights["bias"]) @ weights["encoder"].T + weights["encoder_bias"], 0)


def numpy_largest(activations, n_active):
    kept = np.argsort(-activations, axis=1)[:, :n_active]
    codes = np.zeros_like(activations)
    np.put_along_axis(codes, kept, np.take_along_axis(activations, kept, 1), 1)
    return codes


def test_codes_are_the_largest_activations():
    model, samples = make(), draw()
    codes = model.encode(samples).detach().numpy()
    np.testing.assert_allclose(codes, numpy_largest(numpy_activations(model, samples), 3), atol=1e-12)
    assert ((codes > 0).sum(1) <= 3).all()


def test_every_sample_has_k_codes_or_all_that_are_above_zero():
    model, samples = make(TopKAutoencoder, 6), draw(200)
    positive = (numpy_activations(model, samples) > 0).sum(1)
    assert positive.min() < 6 < positive.max()
    assert np.array_equal((model.encode(samples) != 0).sum(1).numpy(), np.minimum(positive, 6))


def test_gradient_of_the_loss():
    model, samples = make(), draw(8)
    model.training_loss(samples)[0].backward()
    for parameter in model.parameters():
        assert_gradient(lambda: model.training_loss(samples)[0], parameter, every=3)


def test_auxiliary_loss_of_dead_atoms():
    model, samples = make(), draw(30)
    with torch.no_grad():
        model.encoder_bias[:4] -= 2  # rarely among the largest, and not always below 0
    activations = numpy_activations(model, samples)
    codes = numpy_largest(activations, 3)
    model.idle_epochs[:4] = 1
    dictionary, bias = model.dictionary.detach().numpy(), model.bias.detach().numpy()
    residual = samples.numpy() - codes @ dictionary - bias
    dead = np.arange(10) < 4
    revived = numpy_largest(activations[:, dead], 3)  # d/2
    assert (revived > 0).any()
    auxiliary = ((residual - revived @ dictionary[dead]) ** 2).sum() / ((residual - residual.mean(0)) ** 2).sum()
    loss, _ = model.training_loss(samples)
    expected = (residual**2).sum(1).mean() + auxiliary / 32
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)


def test_atoms_that_never_win_are_dead_after_an_epoch_and_come_back():
    samples = torch.nn.functional.normalize(draw(300), dim=1).numpy()
    counts = {}
    for weight in (0.0, 1 / 32):
        model = make(TopKAutoencoder, 1, auxiliary_weight=weight)
        with torch.no_grad():
            model.encoder[:5] *= 0.02  # above 0 for many samples, and hardly ever the largest
            model.encoder_bias[:5] = 0
        train(GradientTrainer(model, 1e-2), samples, 30, 50, seed=0)
        counts[weight] = int((model.encode(torch.from_numpy(samples)) != 0).any(0)[:5].sum())
    assert counts[1 / 32] == 5 > counts[0.0]


def test_idle_epochs_are_counted():
    model, samples = make(), draw()
    with torch.no_grad():
        model.encoder_bias[:2] = -100
    for epoch in range(3):
        codes = model.training_loss(samples)[1]
        model.finish_epoch([])
        unused = (codes == 0).all(0)
        assert bool(unused.any()) and not bool(unused.all())
        assert torch.equal(model.idle_epochs, torch.where(unused, epoch + 1, 0))


def test_atoms_have_norm_one_and_gradients_no_part_along_them():
    model, samples = make(), draw()
    model.training_loss(samples)[0].backward()
    model.project_gradient()
    along = (model.dictionary.grad * model.dictionary).sum(1)
    torch.testing.assert_close(along, torch.zeros_like(along), atol=1e-12, rtol=0)
    GradientTrainer(model).step(samples)
    torch.testing.assert_close(model.dictionary.norm(dim=1), torch.ones(10, dtype=torch.float64))


def test_a_step_of_the_trainer_is_clipped_adam():
    samples = draw()
    model = make(auxiliary_weight=0.0)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    loss = model.training_loss(samples)[0]
    gradients = dict(zip(before, torch.autograd.grad(loss, list(model.parameters())), strict=True))
    atoms = before["dictionary"]
    gradients["dictionary"] -= (gradients["dictionary"] * atoms).sum(1, keepdim=True) * atoms
    total = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
    assert total > 1
    result = GradientTrainer(model, 0.01).step(samples)
    assert result.objective == pytest.approx(float(loss.detach()) * 40, rel=1e-12)
    for name, value in model.named_parameters():
        gradient = gradients[name] / total
        expected = before[name] - 0.01 * gradient / (gradient.abs() + 1e-8)  # bias correction makes it a sign
        if name == "dictionary":
            expected = torch.nn.functional.normalize(expected, dim=1)
        torch.testing.assert_close(value.detach(), expected, atol=1e-7, rtol=0)  # the clipping adds 1e-6 to the norm


def test_rate_falls_along_a_cosine():
    model = make()
    trainer = GradientTrainer(model, 0.01, n_steps=4)
    moved = []
    for _ in range(6):
        before = model.bias.detach().clone()
        trainer.step(draw())
        moved.append(float((model.bias.detach() - before).abs().max()))
    assert moved[0] == pytest.approx(0.01, rel=1e-4)
    assert moved[0] > moved[1] > moved[2] > moved[3] > 0 == moved[4] == moved[5]


def test_recipe_is_the_published_one():
    assert TopKAutoencoder(4, 2**14, 2).recipe == (2e-4, (0.9, 0.999), 1.0)
    assert TopKAutoencoder(4, 2**10, 2).recipe.learning_rate == pytest.approx(8e-4)
    assert JumpReLUAutoencoder(4, 8, 2.0).recipe == (7e-5, (0.0, 0.999), 1.0)


def test_geometric_median_against_a_minimiser():
    points = draw(31, 3).numpy() ** 3
    best = minimize(lambda point: np.linalg.norm(points - point, axis=1).sum(), points.mean(0), method="Nelder-Mead")
    found = geometric_median(torch.from_numpy(points)).numpy()
    np.testing.assert_allclose(found, best.x, atol=1e-3)  # both stop early where the distance is flat
    heavy = torch.cat([torch.zeros(10, 3), torch.eye(3)])  # the median is a point that most agree on
    torch.testing.assert_close(geometric_median(heavy), torch.zeros(3), atol=1e-5, rtol=0)


def test_batch_keeps_the_largest_of_all_its_samples():
    model, samples = make(BatchTopKAutoencoder, 3), draw()
    codes = model.training_loss(samples)[1].detach().numpy()
    activations = numpy_activations(model, samples)
    threshold = np.sort(activations.ravel())[-120]
    np.testing.assert_allclose(codes, np.where(activations >= threshold, activations, 0), atol=1e-12)
    assert (codes > 0).sum() == 120 and np.ptp((codes > 0).sum(1)) > 1


def test_threshold_is_the_mean_of_the_smallest_kept_and_is_saved():
    model = make(BatchTopKAutoencoder, 2)
    smallest = []
    for seed in (1, 2, 3):
        codes = model.training_loss(draw(seed=seed))[1].detach()
        smallest.append(float(codes[codes > 0].min()))
    assert torch.equal(model.encode(draw()), model.activations(draw()))
    model.finish_epoch([])
    assert float(model.threshold) == pytest.approx(np.mean(smallest), rel=1e-12)
    activations = numpy_activations(model, draw())
    expected = np.where(activations > np.mean(smallest), activations, 0)
    np.testing.assert_allclose(model.encode(draw()).detach().numpy(), expected, atol=1e-12)
    other = make(BatchTopKAutoencoder, 2)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.encode(draw()), model.encode(draw()))


def test_single_samples_have_k_codes_on_average_after_training():
    samples = draw(1000).numpy()
    model = make(BatchTopKAutoencoder, 2)
    train(GradientTrainer(model, 1e-3), samples, 5, 100, seed=0)
    one_by_one = [int((model.encode(sample) != 0).sum()) for sample in torch.from_numpy(samples).split(1)]
    assert np.mean(one_by_one) == pytest.approx(2, rel=0.1)  # weights moved within the epoch that θ is the mean of


def smooth_step(values, bandwidth):
    return np.clip(values / bandwidth + 0.5, 0, 1)


def test_jump_relu_has_the_gradient_of_a_smoothed_step():
    bandwidth = 0.3
    model, samples = make(JumpReLUAutoencoder, 3.0, bandwidth=bandwidth), draw(200)
    with torch.no_grad():
        model.threshold.copy_(torch.linspace(0.1, 0.6, 10, dtype=torch.float64))
    pre_activations = model.pre_activations(samples).detach().numpy()
    threshold = model.threshold.detach().numpy()
    codes, steps = model._jump(model.pre_activations(samples))
    np.testing.assert_allclose(codes.detach().numpy(), np.where(pre_activations > threshold, pre_activations, 0))
    weights = draw(200, 10, seed=3)
    (of_steps,) = torch.autograd.grad((weights * steps).sum(), model.threshold, retain_graph=True)
    (of_codes,) = torch.autograd.grad((weights * codes).sum(), model.threshold)
    step = 1e-7
    for atom in range(10):
        ends = [smooth_step(pre_activations[:, atom] - threshold[atom] - sign * step, bandwidth) for sign in (1, -1)]
        slope = (weights[:, atom].numpy() * (ends[0] - ends[1])).sum() / (2 * step)
        assert float(of_steps[atom]) == pytest.approx(slope, abs=1e-5)
        assert float(of_codes[atom]) == pytest.approx(threshold[atom] * slope, abs=1e-5)


def test_jump_relu_loss_and_gradient_of_its_weights():
    model, samples = make(JumpReLUAutoencoder, 3.0), draw()
    codes = model.encode(samples).detach().numpy()
    error = samples.numpy() - codes @ model.dictionary.detach().numpy() - model.bias.detach().numpy()
    expected = (error**2).sum(1).mean() + ((codes > 0).sum(1).mean() / 3 - 1) ** 2
    loss = model.training_loss(samples)[0]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    loss.backward()
    for name in ("encoder", "dictionary", "bias"):
        assert_gradient(lambda: model.training_loss(samples)[0], getattr(model, name), every=5)


def test_jump_relu_comes_to_its_target():
    samples = torch.nn.functional.normalize(draw(1000), dim=1).numpy()
    for target in (1.0, 4.0):
        model = make(JumpReLUAutoencoder, target, bandwidth=0.05)
        history = train(GradientTrainer(model, 1e-2), samples, 20, 100, seed=0)
        # what is left is the weight of the error against that of the target
        assert history["activity"][-1] == pytest.approx(target, rel=0.25)


def test_matryoshka_is_the_mean_over_its_levels():
    model, samples = make(MatryoshkaAutoencoder, (1, 2, 5), auxiliary_weight=0.0), draw()
    activations = numpy_activations(model, samples)
    dictionary, bias = model.dictionary.detach().numpy(), model.bias.detach().numpy()
    errors = [
        ((samples.numpy() - numpy_largest(activations, level) @ dictionary - bias) ** 2).sum(1).mean()
        for level in (1, 2, 5)
    ]
    assert float(model.training_loss(samples)[0].detach()) == pytest.approx(np.mean(errors), rel=1e-12)
    np.testing.assert_allclose(model.encode(samples).detach().numpy(), numpy_largest(activations, 5), atol=1e-12)
    model.n_active = 2
    np.testing.assert_allclose(model.encode(samples).detach().numpy(), numpy_largest(activations, 2), atol=1e-12)


def test_keep_largest_keeps_ties_only_as_often_as_asked():
    kept = keep_largest(torch.ones(3, 5), 2)
    assert kept.sum(1).tolist() == [2, 2, 2]
