"""The command line, ``wlsc``: data, trainings, studies, notebooks; what a build took, and whether its numbers hold.

Every command is a few lines around a function of the package. What is wrong with an argument is said in one sentence
on standard error, and the exit code is not 0 then.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from wlsc import __version__

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
data = typer.Typer(no_args_is_help=True, help="The data sets that the book uses.")
runs = typer.Typer(no_args_is_help=True, help="Finished and interrupted trainings.")
study = typer.Typer(no_args_is_help=True, help="Studies: many trainings of one question.")
app.add_typer(data, name="data")
app.add_typer(study, name="study")
app.add_typer(runs, name="runs")

DataSetName = Annotated[str | None, typer.Argument(help="Data set; all of them if left out.", show_default=False)]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wlsc {__version__}")
        raise typer.Exit


@app.callback()
def take_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Take what is said before the name of a command; the help is that of ``app``."""


def main() -> None:
    """Run the command line; turn the errors that a user can cause into one message and exit code 1."""
    try:
        app()
    except Exception as error:
        if not _can_be_helped(error):
            raise
        sys.exit(f"wlsc: {error}")


def _can_be_helped(error: Exception) -> bool:
    """Tell an error in what the user gave, or in the world, from a fault of the program, whose traceback is needed."""
    from wlsc.companion.execution import NotebookError
    from wlsc.datasets.registry import DataError
    from wlsc.experiments import TrainingInterrupted
    from wlsc.inference.exact import ConvergenceError

    known = (ValueError, OSError, NotebookError, DataError, TrainingInterrupted, ConvergenceError)
    return isinstance(error, known)


@data.command("list")
def list_data(name: DataSetName = None) -> None:
    """Name every file, where it is looked for, and whether it is there."""
    from wlsc.datasets import registry

    _print_files(registry.status(name))


@data.command("verify")
def verify_data(name: DataSetName = None) -> None:
    """Compare every file with its sha256; the exit code is 1 if one is missing or differs."""
    from wlsc.datasets import registry

    files = registry.verify(name)
    _print_files(files)
    if any(file.fault for file in files):
        raise typer.Exit(1)


@data.command("fetch")
def fetch_data(name: DataSetName = None) -> None:
    """Download what is not at hand, and say where it lies."""
    from wlsc.datasets import registry

    for data_set in registry.load_registry() if name is None else [name]:
        for path in registry.fetch(data_set).values():
            typer.echo(path)


def _print_files(files: list) -> None:
    for file in files:
        typer.echo(f"{file.data_set}/{file.file}  {file.fault or 'ok'}  ({file.origin}: {file.path})")


@app.command()
def train(
    configuration: Annotated[Path, typer.Argument(help="TOML file, such as book/experiments/quick/NAME.toml.")],
    seed: Annotated[int | None, typer.Option(help="Instead of the configuration's.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto, instead of the configuration's.")] = None,
    record: Annotated[Path | None, typer.Option(help="JSON file to say in where the run lies.")] = None,
) -> None:
    """Train what a configuration says, or find the finished run; print its folder."""
    from wlsc._io.files import write_text
    from wlsc.experiments import read_config
    from wlsc.experiments import run as run_experiment

    config = dataclasses.replace(read_config(configuration), **_given(seed=seed, device=device))
    run = run_experiment(config, show_progress=True)
    if record:
        record.parent.mkdir(parents=True, exist_ok=True)
        facts = {"run": run.path.name, **run.cost, "data": run.provenance["address"]["data"]}
        write_text(record, json.dumps(facts) + "\n")
    typer.echo(run.path)


@app.command()
def init(
    kind: Annotated[str, typer.Argument(help="Kind of data: matrix, digits or natural_images.")] = "matrix",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to write it to, with its example data.")
    ] = None,
) -> None:
    """Print a configuration with comments, to be edited and trained."""
    from wlsc._validation import check_choice
    from wlsc.datasets.registry import REGISTRY

    examples = REGISTRY.parent / "examples"
    kinds = sorted(path.stem for path in examples.glob("*.toml"))
    template = examples / f"{check_choice('kind', kind, kinds)}.toml"
    if output is None:
        typer.echo(template.read_text(encoding="utf-8"), nl=False)
        return
    copied = [template, *(examples.glob("*.csv") if kind == "matrix" else [])]
    places = [output / path.name for path in copied]
    if existing := [str(place) for place in places if place.exists()]:
        raise ValueError(f"output must be a folder without files of that name, got {', '.join(existing)}")
    output.mkdir(parents=True, exist_ok=True)
    for path, place in zip(copied, places, strict=True):
        place.write_bytes(path.read_bytes())
        typer.echo(place)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


StudyFile = Annotated[Path, typer.Argument(help="TOML file, such as book/studies/quick/NAME.toml.")]


def _study_module(file: Path) -> Any:
    from importlib import import_module

    from wlsc.experiments.kinds import study_module

    return import_module(study_module(file))


@study.command("list")
def list_cells(file: StudyFile) -> None:
    """Name every cell of a study."""
    for cell in _study_module(file).read_study(file).list_cells():
        typer.echo(cell.name)


@study.command("run")
def run_cells(
    file: StudyFile,
    cells: Annotated[list[str] | None, typer.Argument(help="Cells; all of them if left out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first training, instead of the study's.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto, instead of the study's.")] = None,
    record: Annotated[Path | None, typer.Option(help="JSON file to say in what each cell found.")] = None,
) -> None:
    """Match, train and measure cells of a study, or find what was measured."""
    from tqdm import tqdm

    from wlsc._io.files import write_text
    from wlsc.experiments import surroundings

    found, module = {}, _study_module(file)
    described = dataclasses.replace(module.read_study(file), **_given(seed=seed, device=device))
    chosen = [described.cell(name) for name in cells] if cells else described.list_cells()
    with tqdm(chosen, unit="cell") as bar:
        for cell in bar:
            bar.set_description(cell.name)
            found[cell.name] = module.measure(described, cell, show_progress=len(chosen) == 1).summary
    if record:
        record.parent.mkdir(parents=True, exist_ok=True)
        costs = [summary["cost"] for summary in found.values()]  # of measuring, also of what was found
        facts = {
            "duration_s": round(sum(cost["duration_s"] for cost in costs), 3),
            "peak_memory_bytes": max(cost["peak_memory_bytes"] for cost in costs),
        }
        inputs = {"data": surroundings(described.data)["data"]}
        write_text(record, json.dumps(facts | inputs | {"cells": found}) + "\n")


@study.command("status")
def show_status(
    file: StudyFile,
    folder: Annotated[Path, typer.Argument(help="Folder of the build that its jobs write to, such as _build/quick.")],
    seed: Annotated[int | None, typer.Option(help="Of the first training, instead of the study's.")] = None,
) -> None:
    """Say which cells of a study are finished, and why others are missing; the exit code is 1 if any is."""
    from wlsc.companion.records import cell_statuses

    described = dataclasses.replace(_study_module(file).read_study(file), **_given(seed=seed))
    cells = cell_statuses(described.name, [cell.name for cell in described.list_cells()], folder)
    for cell in cells:
        note = f" in {cell.seconds:.1f} s" if cell.state == "finished" else f": {cell.reason}" if cell.reason else ""
        typer.echo(f"{cell.name:<40} {cell.state}{note}")
    n_finished, hours = sum(cell.state == "finished" for cell in cells), sum(cell.seconds for cell in cells) / 3600
    typer.echo(f"{n_finished} of {len(cells)} cells are finished, after {hours:.2g} device-hours.")
    if n_finished < len(cells):
        raise typer.Exit(1)


@runs.command("list")
def list_runs() -> None:
    """Name every run; one without a date was interrupted and resumes when it is asked for again."""
    from wlsc.experiments import list_runs as find_runs
    from wlsc.experiments import load_run

    for folder in find_runs():
        finished = (folder / "provenance.json").exists()
        note = load_run(folder).provenance["finished"] if finished else "interrupted"
        typer.echo(f"{folder.name}  {note}")


@runs.command("show")
def show_run(name: Annotated[str, typer.Argument(help="A name that `wlsc runs list` prints.")]) -> None:
    """Print what a run was made from and how it went, as JSON."""
    from wlsc._io.files import runs_folder
    from wlsc.experiments import load_run

    run = load_run(runs_folder() / name)
    typer.echo(json.dumps(run.provenance | {"history": run.history}, indent=1))


class _PairedOptions(TyperCommand):
    """Lets ``-p NAME VALUE`` take two words, which Typer cannot for an option that may be repeated."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        joined = []
        words = iter(args)
        for word in words:
            joined.append(word)
            if word in ("-p", "--parameter"):
                joined.append("=".join(part for part in (next(words, None), next(words, None)) if part is not None))
        return super().parse_args(ctx, joined)


@app.command(cls=_PairedOptions)
def execute(
    notebook: Annotated[Path, typer.Argument(help="Text notebook, such as book/figure_1a.md.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME VALUE", help="May be given several times.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the executed notebook, its figures, claims and report.")
    ] = Path("_build/custom"),
    timeout: Annotated[int, typer.Option(help="Seconds that one cell may take.")] = 3600,
) -> None:
    """Run a text notebook with other parameters, without a screen; print the executed notebook's path."""
    from wlsc.companion.execution import execute_notebook

    pairs = [text.partition("=") for text in parameter or []]
    for name, separator, _ in pairs:
        if not separator:
            raise ValueError(f"parameter must be given as NAME VALUE, got {name!r} alone")
    given = {name: value for name, _, value in pairs}
    typer.echo(execute_notebook(notebook, given, output, timeout))


@app.command("print")
def print_page(
    page: Annotated[Path, typer.Argument(help="HTML file with the whole book.")],
    output: Annotated[Path, typer.Argument(help="PDF to write.")],
) -> None:
    """Print the book to a PDF, with Chromium."""
    from wlsc.companion.pdf import print_book

    print_book(page, output)


@app.command()
def release(
    folder: Annotated[Path, typer.Argument(help="Folder of a build with its PDF, such as _build/full.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to gather it in.")] = Path("_build/release"),
    config: Annotated[Path, typer.Option(help="Configuration of the book, which has the repository's address.")] = Path(
        "_config.yml"
    ),
) -> None:
    """Gather what a release publishes: archive, PDF, results, checksums, manifest, and notebooks to run elsewhere."""
    import yaml

    from wlsc.companion.release import gather_release

    repository = yaml.safe_load(config.read_text(encoding="utf-8"))["repository"]["url"]
    for path in gather_release(folder, output, repository):
        typer.echo(path)


BuildFolder = Annotated[Path, typer.Argument(help="Folder of a build, such as _build/quick.")]
ProcessorsFile = Annotated[Path, typer.Option(help="What another arithmetic was seen to change.")]
ReferenceFolder = Annotated[Path, typer.Option(help="Folder of references, and of the rules for tolerances.")]


@app.command()
def times(folder: BuildFolder) -> None:
    """Say how long each training, study and notebook of a build took, with how much memory, and where to open it."""
    from wlsc.companion.reports import describe_memory, read_jobs

    jobs = read_jobs(folder)
    for job in jobs:
        memory = "" if job.memory is None else f"{job.memory / 2**20:8,.0f} MiB"
        typer.echo(f"{job.kind:<8}  {job.name:<40}{job.seconds:8.1f} s{memory}")
    typer.echo(describe_memory(jobs))
    typer.echo(f"Open {(folder / 'html' / 'index.html').resolve().as_uri()}")


@app.command()
def costs(
    folder: BuildFolder,
    record: Annotated[Path | None, typer.Option(help="JSON file to keep them in.")] = None,
) -> None:
    """Say what each chapter of a build took in device-hours, its trainings and studies included."""
    from wlsc._io.files import write_text
    from wlsc.companion.records import load_costs

    found = load_costs(folder)
    for cost in found:
        typer.echo(f"{cost.notebook:<20}{cost.n_jobs:>5} jobs  {cost.hours:8.3f} h on {cost.device}")
    if record:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_text(record, json.dumps([cost._asdict() for cost in found], indent=1) + "\n")


@app.command()
def verify(
    folder: BuildFolder,
    references: ReferenceFolder = Path("results/reference"),
    record: Annotated[bool, typer.Option("--record", help="Keep how this machine agreed, for the Trust page.")] = False,
    processors: ProcessorsFile = Path("results/processors.json"),
) -> None:
    """Compare a finished build with its reference; exit with 1 if a number is off, or memory too much or unknown."""
    from wlsc.companion.printed import read_book
    from wlsc.companion.processors import read_processors, record_machine
    from wlsc.companion.reference import compare, read_reference
    from wlsc.companion.reports import (
        MOST_MEMORY,
        describe_capability,
        describe_memory,
        most_memory,
        read_jobs,
        read_report,
    )

    if record:
        read_processors(processors)  # what cannot be kept is said before anything is compared
    report, jobs = read_report(folder), read_jobs(folder)
    profile = report["profile"]
    reference = read_reference(references / f"{profile}.json")
    found = compare(read_book(folder), reference["pages"])
    unmeasured = any(job.memory is None for job in jobs)
    too_much = most_memory(jobs) > MOST_MEMORY[profile]
    for drift in found.drifts:
        typer.echo(drift)
    typer.echo(found)
    accepted = reference["accepted"]
    typer.echo(f"Accepted with {describe_capability(accepted)}; built with {describe_capability(report)}.")
    typer.echo(f"{describe_memory(jobs)} Allowed are {MOST_MEMORY[profile] / 2**30:.0f} GiB.")
    if record:
        facts = {name: report[name] for name in ("capability", "versions", "commit")}
        record_machine(processors, facts | found.counts())
    if found.drifts or too_much or unmeasured:
        raise typer.Exit(1)


@app.command()
def accept(
    folder: BuildFolder,
    why: Annotated[str, typer.Option(help="Why the numbers have changed; kept with the reference.")],
    references: ReferenceFolder = Path("results/reference"),
    processors: ProcessorsFile = Path("results/processors.json"),
) -> None:
    """Make a finished build the reference of its profile; print what changes, from what to what, and why."""
    from wlsc.companion.printed import read_book
    from wlsc.companion.processors import read_processors
    from wlsc.companion.reference import list_changes, make_entries, old_entries, read_rules, write_reference
    from wlsc.companion.reports import read_report

    if not why.strip():
        raise ValueError("why must say in words why the numbers have changed, got nothing")
    report = read_report(folder)
    path = references / f"{report['profile']}.json"
    moved = read_processors(processors)["moved"]
    entries = make_entries(read_book(folder), read_rules(references / "tolerances.json"), moved)
    for change in list_changes(old_entries(path), entries):
        typer.echo(change)
    facts = {name: report.get(name) for name in ("profile", "device", "seed", "commit", "capability", "versions")}
    write_reference(path, {"why": why, **facts}, entries)
    typer.echo(f"{path}: {why}")


@app.command("processors")
def measure_processors(
    profile: Annotated[str, typer.Option(help="Profile whose numbers are looked at.")] = "quick",
    scratch: Annotated[Path, typer.Option(help="Folder for what the runs leave behind.")] = Path("_build/processors"),
    output: ProcessorsFile = Path("results/processors.json"),
    references: ReferenceFolder = Path("results/reference"),
) -> None:
    """Run all notebooks under several kinds of arithmetic of this machine; keep by how much each number moves."""
    from wlsc.companion.processors import measure
    from wlsc.companion.reference import read_rules

    measure(profile, scratch, output, read_rules(references / "tolerances.json"))
    typer.echo(output)


@app.command()
def report(
    folders: Annotated[list[Path] | None, typer.Argument(help="Where counts lie; the first that has them.")] = None,
) -> None:
    """Say what the last runs of the tests tried, and how they ended."""
    from itertools import zip_longest
    from textwrap import wrap

    from wlsc.companion.results import load_result
    from wlsc.companion.trials import list_trials

    places = folders or [Path("_build/tests"), Path("results/tests")]
    runs = {suite: [run for place in places if (run := load_result(suite, place))] for suite in ("test", "stress")}
    header, rows = list_trials({f"make {suite}": found[0] if found else None for suite, found in runs.items()})
    for title, *cells in [header, *rows]:
        for start, *parts in zip_longest([title], *(wrap(cell, 34) for cell in cells), fillvalue=""):
            typer.echo(f"{start:<70}" + "".join(f"{part:>36}" for part in parts))
