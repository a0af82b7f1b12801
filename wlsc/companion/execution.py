"""Runs one text notebook with papermill, and publishes nothing that is half done.

A notebook leaves five things in a folder: ``notebooks/NAME.ipynb``, written when everything has gone well and not
before; its ``figures/`` and ``claims/``; ``reports/NAME.json`` with duration, memory, versions and parameters; and,
if it fails, ``logs/NAME.ipynb``, the notebook as far as it got.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TextIO

from wlsc._io.files import locked, write_text
from wlsc._io.machine import cost_since, processor_name, source_commit
from wlsc.companion.notebooks import (
    find_configurations,
    find_data,
    find_studies,
    number_cells,
    parse_parameters,
    read_notebook,
    read_parameters,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Seconds that a kernel may take to start: a cold machine that loads torch for the first time is slow.
START_TIMEOUT = 120

#: What every kernel runs with: this environment's kernel, sets in one order, and OpenMP threads that do not spin,
#: since torch, numba and BLAS each bring a pool of their own and would otherwise fight for the cores.
KERNEL_ENVIRONMENT = {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"}

#: Characters that a notebook may print; a page of a tenth of this is hard to read already.
MOST_PRINTED = 10_000_000


class NotebookError(RuntimeError):
    """A notebook failed; the message says in which cell, why, and where the partial notebook lies."""


def execute_notebook(source: Path, parameters: Mapping[str, str], folder: Path, cell_timeout: int) -> Path:
    """Execute the text notebook ``source`` and return the path of the executed notebook in ``folder``.

    Parameters
    ----------
    source
        Text notebook (MyST Markdown, or any format that jupytext reads); it runs in its own folder.
    parameters
        Parameter name → value as text; it must have the type of the notebook's own default.
    folder
        Where ``notebooks/``, ``figures/``, ``claims/``, ``reports/`` and ``logs/`` are made.
    cell_timeout
        Seconds that one cell may take.

    Raises
    ------
    ValueError
        If a parameter is unknown or of the wrong type; nothing has run then.
    NotebookError
        If a cell fails, takes too long, prints too much, ends with an error output, or if its kernel dies; or if
        ``folder`` cannot be written.
    """
    notebook = read_notebook(source)
    known = read_parameters(notebook)
    values = known | parse_parameters(known, parameters)
    for name in ("notebooks", "figures", "claims", "reports", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    partial = folder / "logs" / f"{source.stem}.ipynb"
    output = folder / "notebooks" / partial.name
    with locked(folder / partial.name):  # the notebook of a build that was killed may still be running
        start = time.perf_counter()
        given = {name: value for name, value in values.items() if value != known[name]}
        executed = _run(source, notebook, given, partial, cell_timeout)
        cost = cost_since(start, with_children=True)  # the kernel is one
        _publish(executed)
        report = _report(source, notebook, values, cost, folder)
        write_text(folder / "reports" / f"{source.stem}.json", report)
        write_text(output, json.dumps(executed, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
        partial.unlink()
    return output


def _run(
    source: Path, notebook: NotebookNode, given: Mapping[str, Any], partial: Path, cell_timeout: int
) -> NotebookNode:
    """Run ``notebook`` cell by cell, saving it to ``partial`` all the while; return it executed."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError
    from papermill import execute_notebook as run_papermill
    from traitlets.config import Config

    flood = f"it printed more than {MOST_PRINTED:,} characters, which no page can show"
    try:
        with _environment(partial.parents[1]), TemporaryDirectory() as sockets:
            executed = run_papermill(
                notebook,
                partial,
                given,
                kernel_name="python3",
                cwd=source.parent,
                progress_bar={"desc": source.stem},
                stdout_file=_Meter(),
                stderr_file=_Meter(sys.stderr),
                start_timeout=START_TIMEOUT,
                iopub_timeout=START_TIMEOUT,  # a large output takes its time, above all on a busy machine
                execution_timeout=cell_timeout,
                # Sockets in a folder that only this run sees: no open port, and none that two kernels could take.
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
            )
    except PapermillExecutionError as error:
        raise _failure(source, partial, f"{error.ename}: {error.evalue}") from error
    except CellTimeoutError as error:
        raise _failure(source, partial, f"it took longer than {cell_timeout} s") from error
    except DeadKernelError as error:
        raise _failure(source, partial, "its kernel died, killed from outside or out of memory") from error
    except _Flood as error:
        raise _failure(source, partial, flood) from error
    except RuntimeError as error:
        raise _failure(source, partial, f"its kernel did not start ({error})") from error
    except OSError as error:
        raise NotebookError(f"{source} was not executed: {partial} cannot be written ({error.strerror})") from error
    if any(_floods(cell) for cell in executed.cells):  # by what it displays, which is no stream
        raise _failure(source, partial, flood)
    if any(_has_error(cell) for cell in executed.cells):
        raise _failure(source, partial, "its output is an error, which no page may show")
    return executed


class _Flood(Exception):
    """A notebook has printed too much."""


class _Meter:
    """Takes what a notebook prints to one of its streams, as far as a page can show it, and hands it on."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._n_printed = 0

    def write(self, text: str) -> None:
        """Count ``text``."""
        self._n_printed += len(text)
        if self._n_printed > MOST_PRINTED:
            raise _Flood
        if self._stream:
            self._stream.write(text)

    def flush(self) -> None:
        """Let nothing wait."""
        if self._stream:
            self._stream.flush()


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(KERNEL_ENVIRONMENT)
    for name in ("figures", "claims", "explorers"):
        os.environ[f"WLSC_{name.upper()}_DIR"] = str((folder / name).resolve())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _has_error(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def _floods(cell: NotebookNode) -> bool:
    return len(json.dumps(cell.get("outputs", ()))) > MOST_PRINTED


def _failure(source: Path, partial: Path, reason: str) -> NotebookError:
    """Return the error that names the cell of ``partial`` at fault: with an error, with a flood, or the last begun."""
    import nbformat

    cells = nbformat.read(partial, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code" and not _is_injected(cell)]
    begun = [cell for cell in code if cell.metadata.get("papermill", {}).get("start_time")]
    where = "before its first cell"
    if begun:
        cell = next(filter(_has_error, begun), next(filter(_floods, begun), begun[-1]))
        first_line = next(iter(cell.source.strip().splitlines()), "")
        where = f"in code cell {code.index(cell) + 1} of {len(code)} ({first_line})"
    return NotebookError(f"{source} failed {where}: {reason}\nThe notebook as far as it got: {partial}")


def _is_injected(cell: NotebookNode) -> bool:
    return "injected-parameters" in cell.metadata.get("tags", [])


def _publish(notebook: NotebookNode) -> None:
    """Drop what differs from run to run or from machine to machine: times, paths, ids, and progress bars on stderr.

    In how many pieces a cell's prints arrive is a matter of time as well: they become one.
    """
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if _is_injected(cell):
            cell.metadata["tags"] = ["injected-parameters", "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
        if cell.cell_type == "code":
            outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell["outputs"] = [output for _, pieces in groupby(outputs, _stream) for output in _joined(list(pieces))]
    number_cells(notebook)


def _stream(output: NotebookNode) -> str | None:
    return output.get("name")  # only streams have one


def _joined(pieces: list[NotebookNode]) -> list[NotebookNode]:
    if _stream(pieces[0]) is None:
        return pieces
    pieces[0]["text"] = "".join(piece.text for piece in pieces)
    return pieces[:1]


def _report(
    source: Path, notebook: NotebookNode, parameters: Mapping[str, Any], cost: Mapping[str, Any], folder: Path
) -> str:
    from wlsc.datasets.registry import source_hashes

    records = _records(notebook, folder)
    trained_on = [record.get("data", {}) for record in records.values()]
    loaded = [source_hashes(name) for name in find_data(notebook)]
    report = {
        "notebook": source.stem,
        "command": f"wlsc execute book/{source.name}"
        + "".join(f" -p {k} {v}" for k, v in parameters.items() if v != ""),
        "profile": parameters.get("profile"),
        "device": _device(parameters.get("device", "auto")),
        "seed": parameters.get("seed"),
        "parameters": dict(parameters),
        "configuration": _configuration(source, notebook, parameters),
        "data": {name: digest for hashes in (*trained_on, *loaded) for name, digest in hashes.items()},
        **cost,
        "training_s": {name: record["duration_s"] for name, record in records.items()},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": source_commit(source.parent),
        "processor": processor_name(),
        "versions": {name: version(name) for name in ("wlsc", "torch", "numpy", "scipy", "scikit-learn")},
    }
    return json.dumps(report, indent=1) + "\n"


def _records(notebook: NotebookNode, folder: Path) -> dict[str, dict[str, Any]]:
    """What is recorded in ``folder`` of the trainings and of the cells of studies that ``notebook`` reads."""
    paths = [folder / "trained" / f"{name}.json" for name in find_configurations(notebook)]
    for name in find_studies(notebook):
        paths += [folder / "studied" / f"{name}.json", *sorted((folder / "studied" / name).glob("[!.]*.json"))]
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()}


def _configuration(source: Path, notebook: NotebookNode, parameters: Mapping[str, Any]) -> str:
    """Hash of all that was configured: the notebook's parameters, and the files of its trainings and studies."""
    hashed = sha256(json.dumps(dict(parameters), sort_keys=True).encode())
    for kind, names in (("experiments", find_configurations(notebook)), ("studies", find_studies(notebook))):
        for name in names:
            path = source.parent / kind / str(parameters["profile"]) / f"{name}.toml"
            hashed.update(path.read_bytes() if path.exists() else b"")
    return hashed.hexdigest()[:16]


def _device(name: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
