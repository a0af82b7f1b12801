"""The explorers in a browser, opened as files: driven with mouse and keyboard, their numbers compared with Python's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import wlsc
from tests.conftest import REPOSITORY
from wlsc.companion import explorers

SCRIPTS = REPOSITORY / "book" / "_static" / "explorers"
VECTORS = json.loads((REPOSITORY / "tests" / "js" / "simplex_vectors.json").read_text(encoding="utf-8"))
STILL = explorers.Still("still.svg", "A still picture that stands in for the explorer.")
LAM = 0.5
LAMS = np.geomspace(1e-4, 1e3, 8)
N_POINTS, N_LISTED = 10_000, 4
MODELS = {"WLSC": 30, "sparse coding": 20}

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Explorer</title><meta name="viewport" content="width=device-width">
{scripts}
</head>
<body>
{html}
</body>
</html>
"""


class Site:
    """A folder with one page per explorer, laid out as the built book is, whose every page loads all scripts itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(SCRIPTS, folder / "_static" / "explorers")
        (folder / "_images").mkdir()
        (folder / "_images" / STILL.figure).write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')

    def write(self, explorer: explorers.Explorer) -> str:
        names = sorted((path.name for path in SCRIPTS.glob("*.js")), reverse=True)  # a page may load them in any order
        scripts = "".join(f'<script src="_static/explorers/{name}"></script>' for name in names)
        path = self.folder / f"{explorer.name}.html"
        path.write_text(PAGE.format(html=explorer.html, scripts=scripts), encoding="utf-8")
        return path.as_uri()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Address of the page of each explorer."""
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WLSC_EXPLORERS_DIR", str(folder / "explorers"))
        yield {explorer.kind: site.write(explorer) for explorer in make_explorers()}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return load_digits()


@cache
def load_digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = wlsc.load_digits("embedded", unit_norm=True)
    return images.astype(float), labels


def make_explorers() -> Iterator[explorers.Explorer]:
    images, labels = load_digits()
    known = (wlsc.infer_codes(images, images[:60], LAM), labels)
    yield explorers.draw_digit(
        "digits", "quick", images[:60], LAM, images[100:105], labels[100:105], STILL, known=known
    )
    yield explorers.penalty_slider("plane", "quick", *make_toy(), STILL)
    yield explorers.patch_slider("patch", "quick", *make_patches(), STILL)
    points, rows, codes = make_map()
    yield explorers.code_map("codes", "quick", points, labels[rows], images[rows], images[:60], codes, STILL, N_LISTED)
    edges = [np.array([0.1, 0.3, 1.0]), np.array([0.1, 1.0, 1.5, 2.0])]
    yield explorers.electrode("units", "quick", make_units(), edges, np.arange(6).reshape(2, 3), STILL)
    yield explorers.phase_slider("treatments", "quick", make_phases(), STILL)
    yield explorers.atom_sheet("sheet", "quick", *make_sheet(), STILL)


def make_toy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples, λ and a dictionary at each of them."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (40, 2)), LAMS, rng.uniform(-1.5, 1.5, (len(LAMS), 9, 2))


def make_patches() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patches, λ and a dictionary at each of them."""
    rng = np.random.default_rng(4)
    return rng.normal(size=(3, 16)), LAMS, rng.normal(size=(len(LAMS), 10, 16))


@cache
def make_map() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, the digit of each, and its code."""
    images, _ = load_digits()
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(images), N_POINTS)
    plane = images @ rng.normal(size=(64, 2))
    codes = wlsc.infer_codes(images, images[:60], LAM)
    return plane[rows] + rng.normal(scale=0.05, size=(N_POINTS, 2)), rows, codes[rows]


def make_sheet() -> tuple[np.ndarray, np.ndarray, tuple[int, int], np.ndarray, np.ndarray, np.ndarray]:
    """Filters, places on a sheet of 4 × 5 with two empty cells, its shape, orientations, stimuli, and codes."""
    rng = np.random.default_rng(5)
    places = np.stack(np.unravel_index(np.arange(18), (4, 5)), axis=1)
    orientations = np.where(np.arange(18) == 3, np.nan, 10.0 * np.arange(18))
    return rng.normal(size=(18, 16)), places, (4, 5), orientations, rng.normal(size=(30, 16)), rng.random((30, 18))


def make_units() -> dict[str, explorers.Units]:
    rng = np.random.default_rng(2)
    units = {}
    for model, n_units in MODELS.items():
        nx, ny = rng.uniform(0.06, 2.9, (2, n_units))
        nx[5], ny[6] = 0.01, 4.0  # beyond the axes
        facts = {"r²": rng.uniform(size=n_units), "phase (degrees)": np.where(nx > 1, np.nan, 90 * ny / 3)}
        filters = rng.normal(size=(2, n_units, 64))
        pictures = {"atom": filters[0], "mapped field": filters[1]}
        rates = rng.uniform(size=(n_units, 12)) if model == "WLSC" else None
        units[model] = explorers.Units(nx, ny, pictures, facts, rates)
    return units


def make_phases() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    treatments = ("mean kept", "lower cut-off", "mean removed")
    return {name: {model: rng.uniform(0, 90, n_units) for model, n_units in MODELS.items()} for name in treatments}


@pytest.fixture
def open_page(browser: Browser, pages: dict[str, str]) -> Iterator[object]:
    """Open the page of an explorer; whatever goes wrong in it, or is asked of elsewhere, fails the test."""
    faults: list[str] = []
    opened: list[Page] = []

    def open_explorer(kind: str, width: int = 1280, scheme: str = "light") -> tuple[Page, Locator]:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.on("console", lambda message: faults.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
        page.on("request", lambda request: faults.append(request.url) if not is_here(request.url) else None)
        page.goto(pages[kind])
        explorer = page.locator(".wlsc-explorer[data-ready]")
        explorer.wait_for()
        return page, explorer

    yield open_explorer
    for page in opened:
        page.close()
    assert not faults


def is_here(url: str) -> bool:
    return url.startswith(("file://", "data:"))


def state(explorer: Locator, expression: str) -> object:
    """Value of an expression of the explorer's state, after the next picture on the screen."""
    return explorer.evaluate(
        """async (container, expression) => {
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            return new Function("explorer", `return ${expression}`)(container.explorer);
        }""",
        expression,
    )


def array(explorer: Locator, expression: str) -> np.ndarray:
    return np.array(state(explorer, f"Array.from({expression})"))


def numbers(explorer: Locator) -> str:
    return explorer.locator(".wlsc-numbers").inner_text()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("name", VECTORS)
def test_codes_of_the_browser_are_those_of_python(open_page, name, offset):
    case = VECTORS[name]
    dictionary, patches = offset + np.array(case["dictionary"]), offset + np.array(case["patches"])
    _, explorer = open_page("draw")
    for lam, expected in case["codes"].items():
        solved = explorer.evaluate(
            """(_, [dictionary, patches, lam]) => {
                const { gramMatrix, linearTerm, solveSimplex } = wlscExplorers;
                const atoms = Float64Array.from(dictionary.flat());
                const gram = gramMatrix(atoms, dictionary.length);
                let before;
                return patches.map((patch) => {
                    const linear = linearTerm(atoms, gram, patch, lam);
                    const cold = solveSimplex(gram, linear).code;
                    before = solveSimplex(gram, linear, before).code;
                    return [Array.from(cold), Array.from(before)];
                });
            }""",
            [dictionary.tolist(), patches.tolist(), float(lam)],
        )
        for codes in np.array(solved, dtype=float).swapaxes(0, 1):
            np.testing.assert_allclose(codes, expected, atol=1e-6)
            assert wlsc.kkt_residual(patches, dictionary, codes, float(lam)).max() < 1e-9


@pytest.mark.parametrize("name", VECTORS)
def test_the_kept_codes_are_those_of_this_version(name):
    case = VECTORS[name]
    for lam, expected in case["codes"].items():
        codes = wlsc.infer_codes(np.array(case["patches"]), np.array(case["dictionary"]), float(lam), tol=1e-11)
        np.testing.assert_allclose(codes, expected, atol=1e-6)


def draw_with_mouse(page: Page, canvas: Locator, shares: list[tuple[float, float]]) -> None:
    box = canvas.bounding_box()
    assert box
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shares]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()


def check_drawn_code(explorer: Locator, images: np.ndarray, lam: float) -> np.ndarray:
    """The code on the page is Python's for the patch on the page, over the dictionary before it was quantised."""
    patch, code = array(explorer, "explorer.patch"), array(explorer, "explorer.code")
    assert np.linalg.norm(patch) == pytest.approx(1)
    quantised = array(explorer, "explorer.atoms").reshape(-1, 64)
    assert np.abs(quantised - images[:60]).max() <= np.ptp(images[:60]) / 510 * 1.0001
    np.testing.assert_allclose(code, wlsc.infer_codes(patch[None], quantised, lam, tol=1e-9)[0], atol=1e-3)
    assert f"{np.count_nonzero(code)} of 60 atoms active" in numbers(explorer)
    assert f"weight {code.max():.3f}" in numbers(explorer)
    missing = 100 * np.sum((patch - code @ quantised) ** 2)
    assert f"{missing:.1f} % of the squared length" in numbers(explorer)
    return code


def test_a_digit_is_drawn_with_the_mouse(open_page, digits):
    page, explorer = open_page("draw")
    assert "Nothing is drawn yet." in numbers(explorer)
    canvas = explorer.get_by_role("application")
    draw_with_mouse(page, canvas, [(0.3, 0.2), (0.7, 0.2), (0.45, 0.8)])
    code = check_drawn_code(explorer, digits[0], LAM)
    weights = [float(text) for text in explorer.locator(".wlsc-weight").all_inner_texts()]
    np.testing.assert_allclose(weights, np.sort(code[code > 0])[::-1][:8], atol=6e-4)
    explorer.get_by_role("button", name="Clear").click()
    assert np.all(array(explorer, "explorer.ink") == 0)


def test_a_digit_is_drawn_with_the_keyboard(open_page, digits):
    page, explorer = open_page("draw")
    explorer.get_by_role("application").focus()
    press(page, "ArrowUp", "ArrowUp")
    assert np.all(array(explorer, "explorer.ink") == 0), "the pen is up"
    press(page, " ", "ArrowDown", "ArrowDown", "ArrowDown")
    ink = array(explorer, "explorer.ink").reshape(8, 8)
    assert np.flatnonzero(ink.max(axis=0) == 1).tolist() == [4]
    assert np.flatnonzero(ink.max(axis=1) == 1).tolist() == [2, 3, 4, 5]
    press(page, " ", "ArrowLeft")
    np.testing.assert_array_equal(array(explorer, "explorer.ink").reshape(8, 8), ink)
    check_drawn_code(explorer, digits[0], LAM)


def test_a_digit_is_drawn_with_a_finger(browser, pages, digits):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(pages["draw"])
    explorer = page.locator(".wlsc-explorer[data-ready]")
    box = explorer.get_by_role("application").bounding_box()
    for share in (0.2, 0.4, 0.6):
        page.touchscreen.tap(box["x"] + 0.6 * box["width"], box["y"] + share * box["height"])
    ink = array(explorer, "explorer.ink").reshape(8, 8)
    assert np.argmax(ink.sum(axis=0)) == 4
    check_drawn_code(explorer, digits[0], LAM)
    context.close()


def test_an_example_and_another_penalty(open_page, digits):
    page, explorer = open_page("draw")
    images, labels = digits
    explorer.get_by_role("button", name=f"Load an example of {labels[102]}").first.click()
    np.testing.assert_allclose(array(explorer, "explorer.patch"), images[102], atol=5e-3)
    few = np.count_nonzero(check_drawn_code(explorer, images, LAM))
    slider = explorer.get_by_label("penalty λ")
    slider.focus()
    press(page, "Home")
    many = np.count_nonzero(check_drawn_code(explorer, images, 1e-3))
    press(page, "End")
    assert np.count_nonzero(check_drawn_code(explorer, images, 100.0)) == 1
    assert slider.get_attribute("aria-valuetext") == "100"
    assert many > few >= 1


def test_a_drawing_is_named_by_the_classes_of_its_atoms(open_page, digits):
    _, explorer = open_page("draw")
    images, labels = digits
    codes = wlsc.infer_codes(images, images[:60], LAM)
    explorer.get_by_role("button", name=f"Load an example of {labels[102]}").first.click()
    code = array(explorer, "explorer.code")
    votes = np.zeros(10)
    for atom in np.flatnonzero(code):
        for digit in range(10):
            votes[digit] += code[atom] * codes[labels == digit, atom].sum() / codes[:, atom].sum()
    first = int(np.argmax(votes))
    assert f"It looks like {first} ({100 * votes[first]:.0f} %)" in numbers(explorer)
    assert explorer.locator(".wlsc-seen").inner_text() in numbers(explorer)
    explorer.get_by_role("button", name="Clear").click()
    expect(explorer.locator(".wlsc-numbers")).not_to_contain_text("looks like")


def test_a_pressed_button_says_so_until_something_else_is_drawn(open_page):
    page, explorer = open_page("draw")
    pressed = explorer.locator("[aria-pressed=true]")
    assert pressed.count() == 0
    examples = explorer.get_by_role("button", name="Load an example")
    for chosen in (3, 1):
        examples.nth(chosen).click()
        assert pressed.count() == 1
        assert examples.nth(chosen).get_attribute("aria-pressed") == "true"
    colours = [examples.nth(i).evaluate("button => getComputedStyle(button).backgroundColor") for i in (0, 1)]
    assert colours[0] != colours[1], "seen, too"
    draw_with_mouse(page, explorer.get_by_role("application"), [(0.3, 0.2), (0.7, 0.8)])
    assert pressed.count() == 0


#: Controls that must stay where they are while one plays with them.
STAYING = {"draw": "penalty λ", "patch": "penalty λ", "penalty": "penalty λ"}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", STAYING)
def test_a_slider_stays_where_it_is(open_page, kind, width):
    page, explorer = open_page(kind, width)
    slider = explorer.get_by_label(STAYING[kind])
    if kind == "draw":
        explorer.get_by_role("button", name="Load an example").first.click()
    slider.focus()
    places = set()
    for key in ("Home", *["ArrowRight"] * 7, "End"):
        press(page, key)
        array(explorer, "explorer.code")  # after the next picture
        places.add((slider.bounding_box()["y"], page.evaluate("document.documentElement.scrollHeight")))
    assert len(places) == 1


def test_a_blank_canvas_is_seen_on_a_dark_page(open_page):
    _, explorer = open_page("draw", scheme="dark")
    drawn = explorer.get_by_role("application").evaluate("canvas => getComputedStyle(canvas).border")
    assert drawn.startswith("1px solid")


@pytest.mark.parametrize(
    ("kind", "coloured"), [("map", ".wlsc-swatch"), ("phases", ".wlsc-swatch"), ("draw", ".wlsc-bar")]
)
def test_colours_that_mean_something_are_printed(open_page, kind, coloured):
    _, explorer = open_page(kind)
    if kind == "draw":
        explorer.get_by_role("button", name="Load an example").first.click()
    found = explorer.locator(coloured).first.evaluate("mark => getComputedStyle(mark).printColorAdjust")
    assert found == "exact"


def test_numbers_are_read_aloud_once_they_have_come_to_rest(open_page):
    page, explorer = open_page("draw")
    spoken = explorer.get_by_role("status")
    page.wait_for_timeout(800)
    assert spoken.inner_text() == "", "an explorer does not speak before it is asked"
    explorer.get_by_role("button", name="Load an example").first.click()
    spoken.filter(has_text="atoms active").wait_for()
    assert spoken.inner_text() == numbers(explorer)


def check_code_of_point(explorer: Locator, index: int) -> np.ndarray:
    _, lams, dictionaries = make_toy()
    patch, code = array(explorer, "explorer.patch"), array(explorer, "explorer.code")
    dictionary = dictionaries[index].astype(np.float32).astype(float)
    expected = wlsc.infer_codes(patch[None], dictionary, lams[index], tol=1e-11)[0]
    np.testing.assert_allclose(code, expected, atol=1e-3)
    mean = expected @ dictionary
    spread = expected @ np.sum((dictionary - mean) ** 2, axis=1)
    assert f"{np.count_nonzero(expected > 1e-9)} of 9 atoms active" in numbers(explorer)
    assert f"squared error {np.sum((patch - mean) ** 2):.4f}, spread of the atoms in use {spread:.4f}" in numbers(
        explorer
    )
    listed = [float(text) for text in explorer.locator(".wlsc-weight").all_inner_texts()]
    np.testing.assert_allclose(listed, np.sort(expected[expected > 1e-9])[::-1], atol=6e-4)
    return code


def test_the_penalty_leads_from_the_hull_to_k_means(open_page):
    page, explorer = open_page("penalty")
    samples, lams, dictionaries = make_toy()
    slider = explorer.get_by_label("penalty λ")
    slider.focus()
    press(page, "Home")
    assert slider.get_attribute("aria-valuetext") == "10⁻⁴"
    for index in range(len(lams)):
        check_code_of_point(explorer, index)
        codes = np.array(state(explorer, "explorer.codes.map((code) => Array.from(code))"), dtype=float)
        expected = wlsc.infer_codes(samples, dictionaries[index], lams[index], tol=1e-9)
        np.testing.assert_allclose(codes, expected, atol=1e-3)
        press(page, "ArrowRight")
    nearest = np.argmin(np.sum((samples[:, None] - dictionaries[-1]) ** 2, axis=2), axis=1)
    np.testing.assert_array_equal(codes, np.eye(9)[nearest])


def test_a_patch_is_encoded_at_every_penalty(open_page):
    page, explorer = open_page("patch")
    patches, lams, dictionaries = make_patches()
    slider = explorer.get_by_label("penalty λ")
    slider.focus()
    press(page, "Home")
    for index in range(len(lams)):
        levels = np.ptp(dictionaries[index]) / 255
        atoms = dictionaries[index].min() + levels * np.rint((dictionaries[index] - dictionaries[index].min()) / levels)
        for chosen in (1, 2):
            explorer.get_by_role("button", name=f"Choose patch {chosen}").click()
            patch = patches[chosen - 1]
            expected = wlsc.infer_codes(patch[None], atoms, lams[index], tol=1e-11)[0]
            np.testing.assert_allclose(array(explorer, "explorer.code"), expected, atol=1e-3)
            n_active, error = np.count_nonzero(expected > 1e-9), np.sum((patch - expected @ atoms) ** 2)
            assert explorer.locator(".wlsc-used").count() == n_active
            assert f"{n_active} of 10 atoms active" in numbers(explorer)
            assert f"{100 * error / np.sum(patch**2):.1f} % of the squared length is not" in numbers(explorer)
        slider.focus()
        press(page, "ArrowRight")
    assert n_active == 1, "k-means"


def test_the_point_moves_under_the_mouse_and_by_arrow_keys(open_page):
    page, explorer = open_page("penalty")
    samples, _, dictionaries = make_toy()
    everything = np.concatenate([samples, *dictionaries])
    width = np.ptp(everything, axis=0).max() * 400 / 368  # 16 units of margin on each side of 400
    middle = (everything.min(axis=0) + everything.max(axis=0)) / 2
    plane = explorer.get_by_role("application")
    box = plane.bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    patch = array(explorer, "explorer.patch")
    np.testing.assert_allclose(patch, middle + width / 4, atol=0.01 * width)
    check_code_of_point(explorer, len(LAMS) // 2)
    press(page, "ArrowLeft", "ArrowDown", "ArrowDown")
    np.testing.assert_allclose(array(explorer, "explorer.patch"), patch - 0.02 * width * np.array([1, 2]))
    check_code_of_point(explorer, len(LAMS) // 2)


def places_on_map() -> np.ndarray:
    """Where the points lie on the map, from 0 to 1, rightwards and downwards: one scale for both axes."""
    points, _, _ = make_map()
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return 0.5 + (points - middle) / np.ptp(points, axis=0).max() * [1, -1]


def check_chosen_digit(explorer: Locator, index: int) -> None:
    _, rows, codes = make_map()
    _, labels = load_digits()
    assert state(explorer, "explorer.chosen") == index
    assert numbers(explorer).startswith(f"Digit {labels[rows[index]]}, sample {index}: ")
    expected = np.sort(codes[index])[::-1][:N_LISTED]
    weights = [float(text) for text in explorer.locator(".wlsc-weight").all_inner_texts()]
    np.testing.assert_allclose(weights, expected[expected > 1e-4], atol=6e-4)
    first = explorer.locator(".wlsc-atom-number").first.inner_text()
    assert first == f"atom {np.argmax(codes[index])}"


def test_the_map_shows_the_digit_under_the_mouse(open_page):
    page, explorer = open_page("map")
    box = explorer.get_by_role("application").bounding_box()
    places = places_on_map()
    for wanted in ((0.5, 0.5), (0.2, 0.7), (0.01, 0.02)):
        page.mouse.move(box["x"] + wanted[0] * box["width"], box["y"] + wanted[1] * box["height"])
        chosen = state(explorer, "explorer.chosen")
        distances = np.linalg.norm(places - wanted, axis=1)
        assert distances[chosen] <= distances.min() + 0.005
        check_chosen_digit(explorer, chosen)


def test_the_map_shows_the_picture_of_the_digit(open_page):
    _, explorer = open_page("map")
    images, _ = load_digits()
    _, rows, _ = make_map()
    drawn = explorer.get_by_label("The chosen digit").evaluate(
        "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, 8, 8).data)"
    )
    grey = np.array(drawn).reshape(64, 4)[:, 0] / 255 * images[rows].max()
    chosen = state(explorer, "explorer.chosen")
    assert np.abs(grey - images[rows[chosen]]).max() <= images[rows].max() * (1 / 30 + 1 / 255)


def test_arrow_keys_go_over_the_map(open_page):
    page, explorer = open_page("map")
    places = places_on_map()
    explorer.get_by_role("application").focus()
    before = state(explorer, "explorer.chosen")
    for key, step in {"ArrowRight": (1, 0), "ArrowUp": (0, -1), "ArrowLeft": (-1, 0), "ArrowDown": (0, 1)}.items():
        press(page, key)
        chosen = state(explorer, "explorer.chosen")
        shift = places - places[before]
        along = shift @ step
        aside = np.abs(shift).sum(axis=1) - np.abs(along)
        candidates = (along > 0) & (along >= aside)
        distances = np.where(candidates, np.linalg.norm(shift, axis=1), np.inf)
        assert distances[chosen] <= distances.min() + 1e-4
        check_chosen_digit(explorer, chosen)
        before = chosen


def test_one_class_of_the_map(open_page):
    page, explorer = open_page("map")
    _, labels = load_digits()
    _, rows, _ = make_map()
    explorer.get_by_label("show").select_option("7")
    plane = explorer.get_by_role("application")
    box = plane.bounding_box()
    for share in (0.1, 0.5, 0.9):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
        assert labels[rows[state(explorer, "explorer.chosen")]] == 7


def test_ten_thousand_points_answer_the_pointer_within_50_ms(open_page):
    """A reader feels a lag above that; the time runs from the event to the end of its handlers."""
    page, explorer = open_page("map")
    explorer.evaluate(
        """(container) => {
            window.delays = [];
            addEventListener("pointermove", (event) => delays.push(performance.now() - event.timeStamp));
        }"""
    )
    box = explorer.get_by_role("application").bounding_box()
    for share in np.linspace(0.05, 0.95, 60):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + (1 - share) ** 2 * box["height"])
    delays = page.evaluate("delays")
    assert state(explorer, "explorer.points.length") == N_POINTS
    assert len(delays) >= 30
    assert np.median(delays) < 50


def check_unit(explorer: Locator, model: str, unit: int) -> None:
    units = make_units()[model]
    shown = explorer.locator("dd").all_inner_texts()
    values = [units.nx[unit], units.ny[unit], *(values[unit] for values in units.facts.values())]
    for text, value in zip(shown, values, strict=True):
        assert text == "–" if np.isnan(value) else float(text) == pytest.approx(value, rel=6e-3)
    assert numbers(explorer).startswith(f"{model}, unit {unit + 1} of {MODELS[model]}: nx {shown[0]}, ny {shown[1]}, ")
    for name, filters in units.pictures.items():
        drawn = explorer.get_by_label(f"Picture of the {name}").evaluate(
            "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, 8, 8).data)"
        )
        grey = np.array(drawn).reshape(64, 4)[:, 0] / 127.5 - 1
        np.testing.assert_allclose(grey, filters[unit] / np.abs(filters[unit]).max(), atol=0.02)
    curve = explorer.get_by_label("Response to gratings")
    if units.rates is None:
        assert not curve.is_visible()
    else:
        points = curve.locator("polyline").get_attribute("points").split()
        heights = np.array([90 - float(point.split(",")[1]) for point in points]) / 80
        np.testing.assert_allclose(heights[:-1], units.rates[unit] / units.rates[unit].max(), atol=1e-5)


def test_the_electrode_shows_the_unit_under_the_mouse(open_page):
    page, explorer = open_page("electrode")
    units = make_units()["WLSC"]
    box = explorer.get_by_role("application").bounding_box()
    inside = [np.clip(values, 0.05, 3) for values in (units.nx, units.ny)]
    share = [(48 + 342 * np.log(values / 0.05) / np.log(60)) / 400 for values in inside]
    places = np.stack([share[0], 1 - share[1]], axis=1)
    crowding = np.sort(np.linalg.norm(places[:, None] - places, axis=2), axis=1)[:, 1]
    for unit in np.argsort(-crowding)[:5]:
        page.mouse.move(box["x"] + places[unit, 0] * box["width"], box["y"] + places[unit, 1] * box["height"])
        check_unit(explorer, "WLSC", int(unit))


def test_units_beyond_the_axes_are_hollow_and_counted(open_page):
    _, explorer = open_page("electrode")
    hollow = explorer.locator("circle[fill='#fff']")
    assert hollow.count() == 2
    assert explorer.get_by_text("2 of 30 units lie beyond the axes").count() == 1
    explorer.get_by_role("application").focus()
    for _ in range(5):
        explorer.page.keyboard.press("ArrowRight")
    assert numbers(explorer).endswith("; beyond the axes.")


def test_the_keyboard_steps_through_the_units_of_a_model(open_page):
    page, explorer = open_page("electrode")
    check_unit(explorer, "WLSC", 0)
    page.keyboard.press("Tab")
    press(page, "ArrowDown")  # in the list of models
    check_unit(explorer, "sparse coding", 0)
    page.keyboard.press("Tab")
    press(page, "ArrowLeft", "ArrowRight", "ArrowRight")
    check_unit(explorer, "sparse coding", 2)
    press(page, "End", "ArrowRight")
    check_unit(explorer, "sparse coding", MODELS["sparse coding"] - 1)
    press(page, "ArrowUp")
    check_unit(explorer, "sparse coding", MODELS["sparse coding"] - 2)
    assert explorer.locator("circle").count() == MODELS["sparse coding"] + 1  # and the marker


def check_histogram(explorer: Locator, treatment: str) -> None:
    picture = explorer.get_by_label(f"Histogram of spatial phase, {treatment}")
    heights = picture.locator("rect").evaluate_all("bars => bars.map((bar) => Number(bar.getAttribute('height')))")
    phases = make_phases()[treatment]
    counts = np.array([np.histogram(values, 6, (0, 90))[0] for values in phases.values()])
    shares = counts / counts.sum(axis=1, keepdims=True)
    heights = np.array(heights).reshape(shares.shape)
    np.testing.assert_allclose(heights / heights.max(), shares / shares.max(), atol=1e-9)
    for (model, values), (even, *_, odd) in zip(phases.items(), shares, strict=True):
        expected = f"{model}: {100 * even:.0f} % of {len(values)} units below 15 degrees, {100 * odd:.0f} % above 75"
        assert expected in numbers(explorer)


def test_the_histogram_of_phases_follows_the_buttons(open_page):
    page, explorer = open_page("phases")
    first, second, third = make_phases()
    check_histogram(explorer, first)
    explorer.get_by_role("button", name=second).focus()
    press(page, "Enter")
    check_histogram(explorer, second)
    explorer.get_by_role("button", name=third).click()
    check_histogram(explorer, third)
    pressed = explorer.get_by_role("group", name="images").locator("[aria-pressed=true]")
    assert pressed.all_inner_texts() == [third]


def test_the_sheet_shows_the_atom_under_the_pointer(open_page):
    page, explorer = open_page("sheet")
    box = explorer.get_by_role("application").bounding_box()
    for row, column in ((0, 0), (1, 3), (3, 2)):
        page.mouse.move(box["x"] + (column + 0.5) * box["width"] / 5, box["y"] + (row + 0.5) * box["height"] / 4)
        unit = 5 * row + column
        assert state(explorer, "explorer.chosen") == unit
        said = "no orientation" if unit == 3 else f"orientation {10 * unit}°"
        assert numbers(explorer) == f"Atom {unit} in row {row + 1}, column {column + 1}: {said}."


def test_arrow_keys_go_over_the_sheet_and_not_off_it(open_page):
    page, explorer = open_page("sheet")
    explorer.get_by_role("application").focus()
    assert state(explorer, "explorer.chosen") == 12
    for key, unit in (("ArrowUp", 7), ("ArrowRight", 8), ("ArrowRight", 9), ("ArrowRight", 9), ("ArrowDown", 14)):
        press(page, key)
        assert state(explorer, "explorer.chosen") == unit
    press(page, "ArrowDown")  # an empty cell
    assert state(explorer, "explorer.chosen") == 14


def test_the_sheet_shows_the_filters_around(open_page):
    _, explorer = open_page("sheet")
    filters = make_sheet()[0]
    drawn = explorer.get_by_label("The filters around the chosen atom").evaluate(
        "(canvas) => Array.from(canvas.getContext('2d').getImageData(5, 5, 4, 4).data)"
    )
    chosen = filters[12] / np.abs(filters[12]).max()
    grey = np.array(drawn).reshape(16, 4)[:, 0] / 255 * 2 - 1
    assert np.abs(grey - chosen).max() <= 2 / 255 + 1 / 255
    assert explorer.get_by_label("that ties them").count() == 4


KINDS = ("draw", "penalty", "patch", "map", "electrode", "phases", "sheet")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_explorer_fits_a_phone_and_names_its_controls(open_page, kind, scheme):
    page, explorer = open_page(kind, 390, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert explorer.get_attribute("role") == "group"
    assert explorer.get_attribute("aria-label")
    names = explorer.evaluate(
        """(container) => [...container.querySelectorAll("button, input, select, [tabindex], [role=img]")].map(
            (control) => control.ariaLabel || control.labels?.[0]?.textContent || control.textContent)"""
    )
    assert len(names) >= 2
    assert all(names)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_has_the_focus_is_seen(open_page, kind):
    page, explorer = open_page(kind)
    controls = explorer.locator("button, input, select, [tabindex]")
    for _ in range(controls.count()):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outline")
        assert "solid 3px" in outline
        assert explorer.evaluate("(container) => container.contains(document.activeElement)")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_without_javascript_sees_the_still_picture(browser: Browser, pages, kind):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages[kind])
    assert page.get_by_alt_text(STILL.text).bounding_box()["width"] > 0
    context.close()
