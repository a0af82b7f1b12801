"""The explorers of the built book, driven with the data that readers get; their numbers compared with Python's."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page

import wlsc
from tests.site.conftest import visit
from tests.site.test_explorers import array, numbers, press, state
from wlsc.analysis.gabor import fit_gabors

#: Explorers, and the pages that they are on.
SHIPPED = {
    "draw-a-digit": "figure_1b",
    "code-map": "figure_1b",
    "hull-to-k-means": "equations",
    "one-patch": "natural_images",
    "electrode": "figure_1a",
    "phase-treatments": "figure_1a",
}


@pytest.fixture
def shipped(browser: Browser, site: str) -> Iterator[Callable[[str], tuple[Page, Locator]]]:
    """Open the page of an explorer of the built book."""
    opened: list[Page] = []

    def open_explorer(name: str) -> tuple[Page, Locator]:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.append(page)
        visit(page, f"{site}{SHIPPED[name]}.html")
        explorer = page.locator(f'.wlsc-explorer[data-ready][data-explorer="{name}"]')
        explorer.scroll_into_view_if_needed()
        return page, explorer

    yield open_explorer
    for page in opened:
        page.close()


def columns(built_book: Path, name: str) -> dict[str, np.ndarray]:
    """Columns of the file of a figure; shorter ones end early."""
    with (built_book / "figures" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    return {
        column: np.array([float(value) for value in values if value])
        for column, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def test_an_example_is_encoded_as_python_does(shipped):
    _, explorer = shipped("draw-a-digit")
    explorer.get_by_role("button", name="Load an example").nth(3).click()
    code, patch = array(explorer, "explorer.code"), array(explorer, "explorer.patch")
    atoms = array(explorer, "explorer.atoms").reshape(-1, len(patch))
    expected = wlsc.infer_codes(patch[None], atoms, state(explorer, "explorer.lam"), tol=1e-11)[0]
    np.testing.assert_allclose(code, expected, atol=1e-3)
    assert f"{np.count_nonzero(expected > 1e-9)} of {len(atoms)} atoms active" in numbers(explorer)


def test_the_map_names_the_digit_under_the_mouse(shipped, built_book):
    page, explorer = shipped("code-map")
    digits = columns(built_book, "fig-1b")["digit"]
    drawn = np.random.default_rng(0).permutation(len(digits))[:10_000]
    box = explorer.get_by_role("application").bounding_box()
    for across, down in ((0.5, 0.5), (0.3, 0.6), (0.7, 0.2)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        chosen = state(explorer, "explorer.chosen")
        assert numbers(explorer).startswith(f"Digit {digits[drawn[chosen]]:.0f}, sample {chosen}: ")


def test_the_slider_leads_from_the_hull_to_k_means(shipped):
    page, explorer = shipped("hull-to-k-means")
    slider = explorer.get_by_label("penalty λ")
    slider.focus()
    active = []
    for key in ("Home", "End"):
        press(page, key)
        samples = array(explorer, "explorer.samples.flat()").reshape(-1, 2)
        atoms = array(explorer, "explorer.dictionary.flat").reshape(-1, 2)
        codes = np.array(state(explorer, "explorer.codes.map((code) => Array.from(code))"), dtype=float)
        expected = wlsc.infer_codes(samples, atoms, state(explorer, "explorer.lam"), tol=1e-11)
        np.testing.assert_allclose(codes, expected, atol=1e-3)
        active.append(np.count_nonzero(codes > 1e-3, axis=1).mean())
    assert active[0] > 2 and active[1] == 1


def test_a_patch_goes_from_many_atoms_to_one(shipped):
    page, explorer = shipped("one-patch")
    slider = explorer.get_by_label("penalty λ")
    slider.focus()
    active = []
    for key in ("Home", "End"):
        press(page, key)
        patch, code = array(explorer, "explorer.patch"), array(explorer, "explorer.code")
        atoms = array(explorer, "explorer.dictionary.flat").reshape(-1, len(patch))
        expected = wlsc.infer_codes(patch[None], atoms, state(explorer, "explorer.lam"), tol=1e-11)[0]
        np.testing.assert_allclose(code, expected, atol=1e-3)
        active.append(np.count_nonzero(expected > 1e-9))
        assert f"{active[-1]} of {len(atoms)} atoms active" in numbers(explorer)
    assert active[0] > 10 and active[1] == 1


def test_a_unit_has_the_shape_and_the_tuning_that_are_shown(shipped):
    page, explorer = shipped("electrode")
    models = state(explorer, "explorer.models.map(({ name }) => name)")
    assert len(models) >= 5
    explorer.get_by_label("model", exact=True).focus()
    n_compared = n_tuned = 0
    for model in models:
        assert numbers(explorer).startswith(f"{model}, unit 1 of ")
        names, shown = (explorer.locator(tag).all_inner_texts() for tag in ("dt", "dd"))
        facts = {name: float(text) for name, text in zip(names, shown, strict=True) if text != "–"}
        rates = array(explorer, "explorer.model.rates.row(0)")
        if "circular variance" in facts:
            turns = np.exp(2j * np.pi * np.arange(len(rates)) / len(rates))
            variance = 1 - np.abs(rates @ turns) / rates.sum()
            assert facts["circular variance"] == pytest.approx(variance, abs=0.01), model
            n_tuned += 1
        atom = array(explorer, "explorer.model.pictures[0].table.row(0)")
        side = round(len(atom) ** 0.5)
        fit = fit_gabors(atom[None], (side, side))
        if facts["r²"] > 0.8 and facts["nx"] > 0.2:  # elsewhere the pixels that are sent as bytes decide
            assert fit.nx[0] == pytest.approx(facts["nx"], rel=0.1), model
            assert fit.ny[0] == pytest.approx(facts["ny"], rel=0.1), model
            n_compared += 1
        press(page, "ArrowDown")
    assert n_compared >= 2 and n_tuned >= len(models) // 2


def test_the_histogram_is_that_of_the_figures(shipped, built_book):
    _, explorer = shipped("phase-treatments")

    def said(model: str, phases: np.ndarray) -> str:
        even, odd = (100 * np.mean(side) for side in (phases < 15, phases >= 75))
        return f"{model}: {even:.0f} % of {len(phases)} units below 15 degrees, {odd:.0f} % above 75"

    kept = columns(built_book, "fig-1a")
    for model in ("WLSC", "sparse coding"):
        assert said(model, kept[f"phase of {model} (degrees)"]) in numbers(explorer)
    explorer.get_by_role("group", name="images").get_by_role("button").last.click()
    (removed,) = (values for name, values in columns(built_book, "phase-and-mean").items() if "removed" in name)
    assert said("WLSC", removed) in numbers(explorer)
