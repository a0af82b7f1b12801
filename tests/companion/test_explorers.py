"""What the explorers write: the data as the scripts read it, whole files, and refusals in one sentence."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from wlsc.companion import explorers

STILL = explorers.Still("limits.svg", 'Points & atoms, "still".')
RNG = np.random.default_rng(0)
ATOMS = RNG.normal(size=(5, 16))
POINTS = RNG.normal(size=(7, 2))
LABELS = np.arange(7) % 3
IMAGES = RNG.uniform(size=(7, 16))
CODES = RNG.dirichlet(np.ones(5), size=7)
TRAINED = RNG.normal(size=(3, 4, 2))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WLSC_EXPLORERS_DIR", str(tmp_path))
    return tmp_path


def read(path: Path) -> dict[str, Any]:
    """Data of a script, with arrays for what is packed."""
    text = path.read_text(encoding="utf-8")
    start = f'wlscExplorers.add("{path.stem}",'
    assert text.startswith(start)
    assert text.endswith(");\n")
    return json.loads(text[len(start) : -3], object_hook=unpack)


def unpack(entry: dict[str, Any]) -> Any:
    if "deflated" not in entry:
        return entry
    stored = np.frombuffer(zlib.decompress(base64.b64decode(entry["deflated"])), entry["dtype"])
    return entry["offset"] + entry["step"] * stored.reshape(entry["shape"]).astype(float)


def draw(**changes: Any) -> explorers.Explorer:
    given = {"dictionary": ATOMS, "lam": 0.5, "examples": IMAGES, "labels": LABELS} | changes
    return explorers.draw_digit("drawing", "quick", **given, still=STILL)


def slide(**changes: Any) -> explorers.Explorer:
    given = {"samples": POINTS, "lams": [0.1, 1, 10], "dictionaries": TRAINED} | changes
    return explorers.penalty_slider("slider", "quick", **given, still=STILL)


def follow(**changes: Any) -> explorers.Explorer:
    given = {"patches": IMAGES, "lams": [0.1, 1], "dictionaries": [ATOMS, 2 * ATOMS]} | changes
    return explorers.patch_slider("patch", "quick", **given, still=STILL)


def chart(**changes: Any) -> explorers.Explorer:
    given = {"points": POINTS, "labels": LABELS, "images": IMAGES, "dictionary": ATOMS, "codes": CODES} | changes
    return explorers.code_map("chart", "quick", **given, still=STILL)


def units(**changes: Any) -> explorers.Units:
    given = {"nx": np.arange(1, 8), "ny": np.ones(7), "pictures": {"atom": IMAGES}, "facts": {"r²": IMAGES[:, 0]}}
    return explorers.Units(**given | changes)


def probe(**changes: Any) -> explorers.Explorer:
    given = {"units": {"WLSC": units()}, "edges": [np.arange(3), np.arange(4)], "counts": np.ones((2, 3))} | changes
    return explorers.electrode("probe", "quick", **given, still=STILL)


def treat(**changes: Any) -> explorers.Explorer:
    given = {"treatments": {"mean kept": {"WLSC": np.arange(91)}}} | changes
    return explorers.phase_slider("treatments", "quick", **given, still=STILL)


def test_a_dictionary_loses_at_most_half_a_level(folder):
    draw()
    data = read(folder / "drawing.js")
    assert np.abs(data["dictionary"] - ATOMS).max() <= np.ptp(ATOMS) / 255 / 2 + 1e-12
    assert np.abs(data["examples"] - IMAGES / IMAGES.max(axis=1, keepdims=True)).max() <= 1 / 255
    assert data["labels"] == LABELS.tolist()
    assert (data["lam"], data["unit_norm"]) == (0.5, True)


def test_pictures_without_unit_length_keep_their_ink(folder):
    draw(unit_norm=False)
    assert np.abs(read(folder / "drawing.js")["examples"] - IMAGES).max() <= 1 / 255


def test_an_atom_belongs_to_the_classes_of_those_who_use_it(folder):
    codes = CODES.copy()
    codes[:, 2] = 0  # nobody uses this one
    draw(known=(codes, LABELS))
    data = read(folder / "drawing.js")
    assert data["classes"] == [str(name) for name in np.unique(LABELS)]
    for atom, shares in enumerate(data["shares"]):
        by_class = [codes[name == LABELS, atom].sum() for name in np.unique(LABELS)]
        expected = np.divide(by_class, np.sum(by_class)) if atom != 2 else np.zeros(len(by_class))
        np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_a_constant_dictionary_is_kept(folder):
    draw(dictionary=np.full((2, 16), 0.25))
    np.testing.assert_array_equal(read(folder / "drawing.js")["dictionary"], np.full((2, 16), 0.25))


def test_dictionaries_of_the_plane_are_kept_in_float32(folder):
    slide()
    data = read(folder / "slider.js")
    np.testing.assert_array_equal(data["samples"], POINTS.astype("float32"))
    np.testing.assert_array_equal(data["dictionaries"], TRAINED.astype("float32"))
    assert data["lams"] == [0.1, 1, 10]


def test_every_dictionary_of_a_patch_has_its_own_levels(folder):
    follow()
    data = read(folder / "patch.js")
    np.testing.assert_array_equal(data["patches"], IMAGES.astype("float32"))
    for factor, dictionary in zip((1, 2), data["dictionaries"], strict=True):
        assert np.abs(dictionary - factor * ATOMS).max() <= factor * np.ptp(ATOMS) / 255 / 2 + 1e-12
    assert data["lams"] == [0.1, 1]


def test_a_map_keeps_the_heaviest_atoms(folder):
    chart(n_listed=2)
    data = read(folder / "chart.js")
    for code, atoms, weights in zip(CODES, data["atoms"].astype(int), data["weights"], strict=True):
        assert set(atoms) == set(np.argsort(code)[-2:])
        np.testing.assert_allclose(weights, code[atoms], atol=1e-5)
        assert weights[0] >= weights[1]
    assert data["names"] == ["0", "1", "2"]
    np.testing.assert_array_equal(data["labels"][:, 0], LABELS)


def test_a_map_keeps_the_shape_of_the_embedding(folder):
    chart()
    points = read(folder / "chart.js")["points"]
    assert points.min() >= 0
    assert points.max() <= 1
    scale = np.ptp(POINTS, axis=0).max()
    np.testing.assert_allclose((points - points[0]) * scale, POINTS - POINTS[0], atol=1e-3)


def test_large_pictures_of_a_map_are_halved(folder):
    large = np.kron(IMAGES.reshape(7, 4, 4), np.ones((7, 7))).reshape(7, 784)
    atoms = np.kron(ATOMS.reshape(5, 4, 4), np.ones((7, 7))).reshape(5, 784)
    chart(images=large, dictionary=atoms)
    data = read(folder / "chart.js")
    expected = large.reshape(7, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(7, 196)
    assert np.abs(data["images"] - expected).max() <= np.ptp(expected) / 15 / 2 + 1e-12
    assert data["dictionary"].shape == (5, 196)


def test_units_may_lack_numbers(folder):
    facts = {"phase": np.array([np.nan, *range(6)])}
    probe(units={"WLSC": units(facts=facts, rates=IMAGES), "ICA": units(facts={})})
    first, second = read(folder / "probe.js")["models"]
    np.testing.assert_array_equal(first["facts"][:, 0], facts["phase"])
    np.testing.assert_allclose(first["rates"], IMAGES, rtol=1e-6)
    assert (second["facts"], second["rates"], second["names"]) == (None, None, [])
    largest = IMAGES / IMAGES.max(axis=1, keepdims=True)
    assert np.abs(first["pictures"][0]["table"] - largest).max() <= 1 / 255


def test_phases_are_kept_by_treatment_and_model(folder):
    treat()
    (treatment,) = read(folder / "treatments.js")["treatments"]
    assert (treatment["name"], treatment["models"][0]["name"]) == ("mean kept", "WLSC")
    np.testing.assert_array_equal(treatment["models"][0]["phases"][:, 0], np.arange(91))


def test_the_same_data_give_the_same_bytes_and_leave_nothing_else(folder):
    draw()
    before = (folder / "drawing.js").read_bytes()
    draw()
    assert (folder / "drawing.js").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["drawing.js"]


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("make", [draw, slide, follow, chart, probe, treat])
def test_a_cell_shows_a_picture_and_scripts_that_exist(folder, make):
    explorer = make()
    tags = Tags(explorer._repr_mimebundle_()["text/html"]).found
    picture = next(given for tag, given in tags if tag == "img")
    assert (picture["src"], picture["alt"]) == ("_images/limits.svg", STILL.text)
    scripts = [str(given["src"]) for tag, given in tags if tag == "script"]
    styles = [str(given["href"]) for tag, given in tags if tag == "link"]
    assert scripts[-1] == f"explorers/{explorer.name}.js"
    assert (folder / f"{explorer.name}.js").exists()
    assert all((REPOSITORY / "book" / path).exists() for path in [*scripts[:-1], *styles])
    assert str(folder) not in repr(explorer)


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (draw, {"dictionary": ATOMS[:, :15]}, "dictionary must hold square pictures, got 15 pixels"),
        (draw, {"examples": IMAGES[:, :9]}, r"examples must have shape \(n, 16\) .*, got \(7, 9\)"),
        (draw, {"examples": IMAGES * np.nan}, "examples must be finite, got NaN or infinite values"),
        (draw, {"labels": [1]}, "labels must have one entry for each of 7 rows, got 1"),
        (draw, {"known": (CODES[:, :3], LABELS)}, r"codes of known must have shape \(n, 5\) .*, got \(7, 3\)"),
        (draw, {"known": (CODES, LABELS[:2])}, "labels of known must have one entry for each of 7 rows, got 2"),
        (draw, {"lam": 0}, "lam must be above 0, .*, got 0"),
        (draw, {"lam": -1}, "lam must be a finite number of at least 0, got -1"),
        (slide, {"samples": IMAGES}, r"samples must have shape \(n, 2\) .*, got \(7, 16\)"),
        (slide, {"lams": [1, 0.1, 10]}, r"lams must be ascending numbers above 0, got \[1, 0.1, 10\]"),
        (slide, {"lams": [0, 1, 2]}, "lams must be ascending numbers above 0, got"),
        (slide, {"dictionaries": TRAINED[:2]}, "dictionaries must have one entry for each of 3 rows, got 2"),
        (follow, {"patches": IMAGES[:, :15]}, "patches must hold square pictures, got 15 pixels"),
        (follow, {"lams": [1, 1]}, "lams must be ascending numbers above 0, got"),
        (follow, {"dictionaries": [ATOMS, IMAGES[:, :9]]}, r"must have shape \(n, 16\) .*, got \(7, 9\)"),
        (follow, {"dictionaries": [ATOMS, ATOMS[:2]]}, "must have one entry for each of 5 rows, got 2"),
        (chart, {"labels": LABELS[1:]}, "labels must have one entry for each of 7 rows, got 6"),
        (chart, {"codes": CODES[:, :4]}, r"codes must have shape \(n, 5\) .*, got \(7, 4\)"),
        (chart, {"n_listed": 0}, "n_listed must be an integer of at least 1, got 0"),
        (chart, {"images": np.ones((7, 225))}, "images must have a side that 2 divides, got 15"),
        (probe, {"units": {}}, "units must name at least one model, got none"),
        (probe, {"counts": np.ones((3, 3))}, r"edges must enclose the bins of counts, \(3, 3\), got \(3, 4\) edges"),
        (probe, {"units": {"WLSC": units(nx=np.zeros(7))}}, "nx, ny of WLSC must be above 0, .* got 0.0"),
        (probe, {"units": {"WLSC": units(rates=IMAGES[1:])}}, "rates of WLSC must have one entry for each of 7 rows"),
        (treat, {"treatments": {}}, "treatments must name at least one, got none"),
        (treat, {"treatments": {"a": {"ICA": np.array([91.0])}}}, "phases of ICA must lie in 0 … 90, got 91.0 … 91.0"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(folder, make, changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
    assert not list(folder.iterdir())


def test_more_classes_than_colours_are_refused():
    with pytest.raises(ValueError, match="labels must name at most 10 classes, got 11"):
        chart(points=np.ones((11, 2)), labels=np.arange(11), images=np.ones((11, 16)), codes=np.eye(11)[:, :5])


PLACES = np.array([[0, 0], [0, 1], [1, 2], [2, 0], [2, 2]])


def lay(**changes: Any) -> explorers.Explorer:
    given = {
        "filters": ATOMS,
        "places": PLACES,
        "shape": (3, 3),
        "orientations_deg": np.array([0.0, 45.0, np.nan, 90.0, 179.0]),
        "stimuli": IMAGES,
        "codes": CODES,
        "n_listed": 2,
    }
    return explorers.atom_sheet("sheet", "quick", **given | changes, still=STILL)


def test_a_sheet_keeps_the_stimuli_that_tie_an_atom_to_those_around_it(folder):
    lay()
    data = read(folder / "sheet.js")
    cells = data["cells"].astype(int)
    assert [cells[tuple(place)] for place in PLACES] == list(range(5))
    assert (cells == 5).sum() == 4
    np.testing.assert_allclose(data["orientations"].ravel(), [0, 45, -1, 90, 179])
    around = {0: [1], 1: [0, 2], 2: [1, 4], 3: [], 4: [2]}
    for atom, near in around.items():
        ties = CODES[:, atom] * CODES[:, near].sum(axis=1)
        expected = np.argsort(-ties, kind="stable")[:2]
        pictures = IMAGES[expected] / np.abs(IMAGES[expected]).max(axis=1, keepdims=True)
        step = data["stimuli"].max() - data["stimuli"].min()
        np.testing.assert_allclose(data["stimuli"][data["ties"][atom].astype(int)], pictures, atol=step / 255)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"codes": CODES[:, :4]}, r"codes must have shape \(n, 5\)"),
        ({"orientations_deg": np.zeros(4)}, "orientations_deg must have one entry for each of 5 rows, got 4"),
        ({"n_listed": 8}, r"n_listed must be at most the number of stimuli \(7\), got 8"),
        ({"shape": (2, 3)}, "places must lie on the sheet"),
        ({"filters": np.ones((5, 7))}, "filters must hold square pictures, got 7 pixels"),
    ],
)
@pytest.mark.tried("inputs")
def test_bad_sheets_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        lay(**changes)
