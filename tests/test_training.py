"""The loops: they learn, repeat exactly, resume exactly, and hardly depend on the batch size."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import wlsc
from wlsc.dictionary import initialize_dictionary
from wlsc.models import SparseCodingAutoencoder, WLSCAutoencoder
from wlsc.training import ClosedFormTrainer, Progress, UnrolledTrainer, train

TRAINERS = {
    "closed form": lambda: ClosedFormTrainer(start(WLSCAutoencoder(8, 12, 0.2))),
    "closed form, sparse coding": lambda: ClosedFormTrainer(start(SparseCodingAutoencoder(8, 12, 0.2))),
    "unrolled": lambda: UnrolledTrainer(start(WLSCAutoencoder(8, 12, 0.2, 10)), learning_rate=1e-2),
    "unrolled, sparse coding": lambda: UnrolledTrainer(
        start(SparseCodingAutoencoder(8, 12, 0.2, 10)), learning_rate=1e-2
    ),
}


def draw(n_samples=600, seed=0):
    """Points near twelve corners of a cloud: there is something to learn."""
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(12, 8))
    return (rng.dirichlet(np.full(12, 0.1), size=n_samples) @ corners + 0.01 * rng.normal(size=(n_samples, 8))).astype(
        np.float32
    )


def start(model):
    model.set_dictionary(torch.as_tensor(draw(12, seed=99)))
    return model


@pytest.mark.parametrize("name", TRAINERS)
def test_objective_falls_and_repeats_exactly(name):
    first, second = TRAINERS[name](), TRAINERS[name]()
    history = train(first, draw(), 6, 100, seed=0)
    assert history["objective"][-1] < 0.9 * history["objective"][0]
    assert history == train(second, draw(), 6, 100, seed=0)
    assert torch.equal(first.model.dictionary, second.model.dictionary)
    assert history != train(TRAINERS[name](), draw(), 6, 100, seed=1)


@pytest.mark.parametrize("name", TRAINERS)
def test_resuming_gives_the_numbers_of_an_uninterrupted_run(name):
    whole = TRAINERS[name]()
    saved = {}

    def keep(progress):
        if progress.epoch == 2:
            saved["state"] = {key: value.clone() for key, value in whole.state().items()}
            history = {key: list(values) for key, values in progress.history.items()}
            saved["progress"] = Progress(2, history, dict(progress.warm_codes))

    expected = train(whole, draw(), 5, 128, seed=3, after_epoch=keep)
    resumed = TRAINERS[name]()
    resumed.load_state(saved["state"])
    assert train(resumed, draw(), 5, 128, seed=3, start=saved["progress"]) == expected
    assert torch.equal(whole.model.dictionary, resumed.model.dictionary)


def test_closed_form_training_recovers_the_corners():
    """Data in a simplex with all corners present: the hull is learned, so the error is the noise."""
    trainer = ClosedFormTrainer(start(WLSCAutoencoder(8, 12, 0.01)))
    patches = draw(2000)
    train(trainer, patches, 30, 200, seed=0)
    codes = wlsc.infer_codes(patches, trainer.model.dictionary.detach().numpy(), 0.01)
    error = np.mean(np.sum((patches - codes @ trainer.model.dictionary.detach().numpy()) ** 2, axis=1))
    assert error < 0.02 * np.mean(np.sum((patches - patches.mean(0)) ** 2, axis=1))


def test_batch_size_hardly_matters():
    digits, _ = load_digits(return_X_y=True)
    digits = (digits / np.linalg.norm(digits, axis=1, keepdims=True)).astype(np.float32)
    finals = []
    for batch_size in (90, 360, 1797):
        model = WLSCAutoencoder(64, 40, 0.5)
        model.set_dictionary(initialize_dictionary(digits, 40, torch.Generator().manual_seed(0)))
        train(ClosedFormTrainer(model), digits, 10, batch_size, seed=0)
        atoms = model.dictionary.detach().numpy()
        finals.append(wlsc.objective(digits, atoms, wlsc.infer_codes(digits, atoms, 0.5), 0.5))
    assert max(finals) / min(finals) < 1.02


def test_early_stop():
    assert len(train(TRAINERS["closed form"](), draw(), 100, 100, seed=0, tol=1e-2)["objective"]) < 30
    assert len(train(TRAINERS["closed form"](), draw(), 5, 100, seed=0)["objective"]) == 5


def test_memory_mapped_data_give_the_dictionary_of_data_in_memory(tmp_path):
    np.save(tmp_path / "patches.npy", draw())
    mapped, in_memory = TRAINERS["closed form"](), TRAINERS["closed form"]()
    train(mapped, np.load(tmp_path / "patches.npy", mmap_mode="r"), 2, 128, seed=0, shuffle=False)
    train(in_memory, draw(), 2, 128, seed=0, shuffle=False)
    assert torch.equal(mapped.model.dictionary, in_memory.model.dictionary)


def test_dead_atoms_are_revived_while_training():
    model = WLSCAutoencoder(8, 12, 0.2)
    far = torch.full((12, 8), 100.0)
    far[0] = 0  # every patch uses this atom alone
    model.set_dictionary(far)
    trainer = ClosedFormTrainer(model)
    train(trainer, draw(2000), 5, 200, seed=0)
    codes = wlsc.infer_codes(draw(2000), trainer.model.dictionary.detach().numpy(), 0.2)
    assert ((codes > 0).sum(axis=0) > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_epochs": 0}, "n_epochs must be an integer of at least 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"tol": -1.0}, "tol must be at least 0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        train(TRAINERS["closed form"](), draw(), **({"n_epochs": 1, "batch_size": 10, "seed": 0} | options))


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm"])
def test_bad_trainer(name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number greater than 0"):
        UnrolledTrainer(WLSCAutoencoder(4, 5, 0.1), **{name: 0.0})
