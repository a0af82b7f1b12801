"""The command line: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wlsc import cli
from wlsc.experiments.runs import load_data, read_config

CONFIGURATION = """
seed = 0

[data]
kind = "digits"
source = "embedded"

[model]
kind = "wlsc"
n_atoms = 5
lam = 0.5

[training]
n_epochs = 1
batch_size = 512
"""


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for runs, and a mirror of data that holds nothing."""
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("WLSC_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("WLSC_DATA_DIR", str(tmp_path / "mirror"))
    return tmp_path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command as the shell does; give exit code, output and messages."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["wlsc", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        message = stop.value.code
        if isinstance(message, str):  # what Python prints itself when a program ends so
            return 1, printed.out, message
        return int(message or 0), printed.out, printed.err

    return run


def test_data_are_listed_with_what_is_wrong(call):
    code, said, _ = call("data", "list", "mnist")
    assert code == 0
    assert said.count("is missing") == len(said.splitlines()) == 4
    assert all(line.startswith("mnist/") for line in said.splitlines())


def test_data_inside_installed_packages_are_there(call):
    code, said, _ = call("data", "verify", "embedded")
    assert code == 0
    assert said and all("  ok  (package: " in line for line in said.splitlines())
    code, said, _ = call("data", "fetch", "embedded")
    assert code == 0
    assert said and all(Path(line).is_file() for line in said.splitlines())


def test_verification_fails_if_a_file_is_missing(call):
    code, said, _ = call("data", "verify", "mnist")
    assert code == 1
    assert "is missing" in said


@pytest.mark.parametrize("command", ["list", "verify", "fetch"])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(call, command):
    code, said, message = call("data", command, "mnits")
    assert (code, said) == (1, "")
    assert message.startswith("wlsc: data set must be one of ")
    assert message.endswith("got 'mnits' (did you mean mnist?)")


def test_what_cannot_be_fetched_is_said_in_one_message(call):
    code, _, message = call("data", "fetch", "mnist")
    assert code == 1
    assert message.startswith("wlsc: ") and "is missing" in message and "WLSC_DATA_DIR" in message


@pytest.fixture
def configuration(folders: Path) -> Path:
    path = folders / "tiny.toml"
    path.write_text(CONFIGURATION)
    return path


def test_a_training_is_recorded_found_again_and_shown(call, folders, configuration):
    record = folders / "records" / "tiny.json"
    code, said, _ = call("train", configuration, "--record", record)
    folder = Path(said.strip())
    assert code == 0
    assert folder.parent == folders / "runs"
    noted = json.loads(record.read_text())
    assert noted["run"] == folder.name and noted["duration_s"] > 0
    assert 2**26 < noted["peak_memory_bytes"] < 2**34
    weights = (folder / "weights.safetensors").stat().st_mtime_ns
    assert call("train", configuration)[1].strip() == str(folder)
    assert (folder / "weights.safetensors").stat().st_mtime_ns == weights

    _, listed, _ = call("runs", "list")
    assert listed.startswith(f"{folder.name}  20")
    code, shown, _ = call("runs", "show", folder.name)
    assert code == 0
    assert json.loads(shown)["address"]["config"]["model"]["n_atoms"] == 5
    assert len(json.loads(shown)["history"]["objective"]) == 1


def test_seed_and_device_can_be_set_from_outside(call, configuration):
    _, first, _ = call("train", configuration)
    _, second, _ = call("train", configuration, "--seed", 1, "--device", "cpu")
    assert first != second
    assert call("runs", "list")[1].count("tiny-") == 2
    code, _, message = call("train", configuration, "--device", "abacus")
    assert code == 1
    assert message.startswith("wlsc: device must be one of ")


def test_an_interrupted_run_is_listed_as_such(call, folders):
    (folders / "runs" / "tiny-0123456789abcdef").mkdir(parents=True)
    assert call("runs", "list")[1] == "tiny-0123456789abcdef  interrupted\n"
    code, _, message = call("runs", "show", "tiny-0123456789abcdef")
    assert code == 1
    assert "finished run" in message


@pytest.mark.parametrize(
    ("line", "other", "expected"),
    [
        ("n_atoms = 5", "n_atmos = 5", "got n_atmos (did you mean n_atoms?)"),
        ("n_atoms = 5", "n_atoms = 0", "n_atoms must be an integer of at least 1, got 0"),
        ("lam = 0.5", "lam = -1", "lam must be a finite number of at least 0, got -1"),
        ('source = "embedded"', 'source = "nowhere"', "'nowhere'"),
        ("[model]", "[model", "configuration must be valid TOML"),
    ],
)
@pytest.mark.tried("inputs")
def test_a_wrong_configuration_is_refused_in_one_sentence_and_leaves_nothing(
    call, folders, configuration, line, other, expected
):
    configuration.write_text(CONFIGURATION.replace(line, other))
    code, said, message = call("train", configuration, "--record", folders / "record.json")
    assert (code, said) == (1, "")
    assert expected in message
    assert len(message.splitlines()) == 1
    assert call("runs", "list")[1] == ""
    assert not (folders / "record.json").exists()
    assert [path for path in folders.rglob("*") if path.is_file() and path != configuration] == []


def test_a_missing_configuration_is_named(call, folders):
    code, _, message = call("train", folders / "absent.toml")
    assert code == 1
    assert "absent.toml" in message


def test_time_and_memory_of_a_build_are_told_with_its_address(call, folders):
    records = [
        ("reports", "figure_1a", {"duration_s": 12.34, "peak_memory_bytes": 3 * 2**29}),
        ("reports", "speed", {"duration_s": 3, "peak_memory_bytes": 2**28}),
        ("trained", "natural_wlsc", {"duration_s": 208.2, "peak_memory_bytes": 2**30}),
        ("studied", "of_old", {"duration_s": 1}),
    ]
    for kind, name, record in records:
        (folders / kind).mkdir(exist_ok=True)
        (folders / kind / f"{name}.json").write_text(json.dumps(record))
    code, said, _ = call("times", folders)
    assert code == 0
    *jobs, memory, address = said.splitlines()
    assert [job.split() for job in jobs] == [
        ["training", "natural_wlsc", "208.2", "s", "1,024", "MiB"],
        ["study", "of_old", "1.0", "s"],
        ["notebook", "figure_1a", "12.3", "s", "1,536", "MiB"],
        ["notebook", "speed", "3.0", "s", "256", "MiB"],
    ]
    assert memory == "Two jobs at a time take at most 2.5 GiB (not measured of 1 of 4 jobs)."
    assert address == f"Open file://{folders}/html/index.html"


SWEEP = """
measures = "trainings"
mem_mb = 1000
runtime = 5
[data]
kind = "digits"
source = "embedded"
[training]
n_epochs = 1
batch_size = 512
[models.wlsc]
kind = "wlsc"
[[cells]]
models = ["wlsc"]
lams = [0.5]
n_atoms = [5, 5000]
"""


def test_a_sweep_says_what_is_missing(call, folders):
    sweep, build = folders / "tiny.toml", folders / "build"
    sweep.write_text(SWEEP)
    names = call("study", "list", sweep)[1].split()
    assert names == ["wlsc-l0.5-m5-none-s0", "wlsc-l0.5-m5000-none-s0"]
    code, said, _ = call("study", "status", sweep, build)
    assert code == 1
    assert said.count("not begun") == 2 and "0 of 2 cells are finished" in said
    for name in names:
        code, _, message = call("study", "run", sweep, name, "--record", build / "studied" / "tiny" / f"{name}.json")
    (build / "logs" / "tiny").mkdir(parents=True)
    (build / "logs" / "tiny" / f"{name}.txt").write_text(f"{message}\n")
    code, said, _ = call("study", "status", sweep, build)
    assert code == 1
    first, second, total = said.splitlines()
    assert first.split()[:3] == [names[0], "finished", "in"]
    assert second.split(maxsplit=1) == [
        names[1],
        "failed: n_atoms must be at most the number of samples, got 5000 atoms for 1797 samples",
    ]
    assert total.startswith("1 of 2 cells are finished, after ")
    sweep.write_text(SWEEP.replace("5, 5000", "5"))
    code, said, _ = call("study", "status", sweep, build)
    assert code == 0
    assert "1 of 1 cells are finished" in said


def test_what_is_found_keeps_the_cost_of_measuring_it(call, folders, configuration):
    sweep = folders / "sweep.toml"
    sweep.write_text(SWEEP.replace("5, 5000", "5"))
    for command in (("study", "run", sweep), ("train", configuration)):
        records = [folders / f"{index}.json" for index in range(2)]
        for record in records:
            assert call(*command, "--record", record)[0] == 0
        first, again = (json.loads(record.read_text()) for record in records)
        assert first["duration_s"] > 0 and first["peak_memory_bytes"] > 2**26
        assert again == first  # a clock that had run again would differ


def test_costs_of_a_build_are_told_and_kept(call, folders):
    (folders / "reports").mkdir()
    report = {"notebook": "speed", "device": "cpu", "duration_s": 1800.0, "training_s": {"s": 1800.0}}
    (folders / "reports" / "speed.json").write_text(json.dumps(report))
    code, said, _ = call("costs", folders, "--record", folders / "kept" / "costs.json")
    assert code == 0
    assert said.split() == ["speed", "2", "jobs", "1.000", "h", "on", "cpu"]
    kept = json.loads((folders / "kept" / "costs.json").read_text())
    assert kept == [{"notebook": "speed", "device": "cpu", "n_jobs": 2, "hours": 1.0}]


def test_a_wrong_command_is_refused(call):
    assert call("trian")[0] == 2


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def fail() -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(KeyError, match="a fault"):
        cli.main()


class TestInit:
    @pytest.mark.parametrize("kind", ["matrix", "digits", "natural_images"])
    def test_every_template_trains_as_it_is(self, call, tmp_path, monkeypatch, kind):
        code, out, _ = call("init", kind)
        assert code == 0 and out.count("#") > 10
        folder = tmp_path / "mine"
        written = call("init", kind, "-o", str(folder))[1].split()
        assert (folder / f"{kind}.toml").read_text(encoding="utf-8") == out
        assert sorted(Path(path).name for path in written) == sorted(path.name for path in folder.iterdir())
        monkeypatch.chdir(folder)
        code, out, err = call("train", f"{kind}.toml")
        assert code == 0, err
        assert Path(out.strip()).name.startswith(f"{kind}-")

    def test_nothing_is_overwritten_and_other_kinds_are_refused(self, call, tmp_path):
        assert call("init", "-o", str(tmp_path / "mine"))[0] == 0
        code, _, err = call("init", "-o", str(tmp_path / "mine"))
        assert code != 0 and "output must be a folder without files of that name, got" in err
        code, _, err = call("init", "sounds")
        assert code != 0 and "kind must be one of 'digits', 'matrix', 'natural_images', got 'sounds'" in err

    def test_a_column_of_labels_is_no_feature(self, call, tmp_path, monkeypatch):
        call("init", "-o", str(tmp_path / "mine"))
        monkeypatch.chdir(tmp_path / "mine")
        assert load_data(read_config(Path("matrix.toml")).data).shape == (90, 3)
