"""Trainings and builds killed with SIGKILL again and again, wherever they happen to be."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.faults.tiny_book import assert_no_page_is_half, make_book, plant, read_build, said
from tests.faults.training import (
    CLOSED_FORM,
    UNROLLED,
    assert_nothing_is_half,
    assert_same_numbers,
    finish_training,
    is_finished,
    is_writing,
    kill,
    kill_at_random,
    run_folder,
    start_training,
    trainers,
    wait_for,
)
from wlsc._io.files import load_tensors


@pytest.fixture(scope="module", params=[CLOSED_FORM, UNROLLED], ids=["closed form", "unrolled"])
def config(request):
    return request.param


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    return finish_training(config, tmp_path_factory.mktemp("whole"))


def test_trainings_killed_at_random_end_with_the_same_numbers(config, whole, tmp_path, record_property):
    record_property("kills", kill_at_random(config, whole, tmp_path, random.Random(1), 20))


def test_trainings_killed_while_they_write_a_checkpoint(config, whole, tmp_path, record_property):
    met: set[int] = set()
    n_kills, n_runs = 0, 0
    while len(met) < 10:
        runs = tmp_path / f"runs{n_runs}"
        process = start_training(config, runs)
        wait_for_second_checkpoint(process, runs)
        killed = kill(process)
        assert_nothing_is_half(runs)
        if killed and is_writing(process, runs):  # else the file got its name just before
            met.add(epochs_kept(runs) + 1)
            n_kills += 1
        if is_finished(runs):
            assert_same_numbers(finish_training(config, runs), whole)
            n_runs += 1
    record_property("kills", n_kills)
    assert_same_numbers(finish_training(config, runs), whole)


def wait_for_second_checkpoint(process: ForkServerProcess, runs: Path) -> None:
    """Wait until a process has written a checkpoint and writes another, so that each kill meets one of its own."""
    wait_for(lambda: is_writing(process, runs), process)
    wait_for(lambda: not is_writing(process, runs), process)
    wait_for(lambda: is_writing(process, runs), process)


def epochs_kept(runs: Path) -> int:
    """Epochs that the checkpoint of a run holds."""
    _, notes = load_tensors(run_folder(runs) / "checkpoint.safetensors")
    return json.loads(notes["progress"])["epoch"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_around_the_last_file_does_not_lose_the_run(config, whole, tmp_path, moment, record_property):
    kinds = ["weights.safetensors", "history.json", "provenance.json"]
    for n_written in range(1, 4):
        write = n_written + len(whole.history["objective"]) * (n_written == 1)  # checkpoints come before
        process = start_training(config, tmp_path, die=moment, write=write)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert_nothing_is_half(tmp_path)
        there = [(run_folder(tmp_path) / name).exists() for name in kinds]
        n_there = n_written - (moment == "before")
        assert there == [True] * n_there + [False] * (3 - n_there)
        assert is_finished(tmp_path) == (n_there == 3)
    record_property("kills", n_written)
    assert_same_numbers(finish_training(config, tmp_path), whole)


def test_of_many_that_ask_at_once_those_that_are_killed_are_replaced(config, whole, tmp_path, record_property):
    processes = [start_training(config, tmp_path) for _ in range(5)]
    for n_begun in range(1, 4):
        while len(trainers(tmp_path)) < n_begun:
            time.sleep(0.01)
        time.sleep(0.1 * whole.provenance["duration_s"])
        os.kill(trainers(tmp_path)[-1], signal.SIGKILL)
    record_property("kills", n_begun)
    for process in processes:
        process.join(120)
    assert sorted(process.exitcode for process in processes) == [-9, -9, -9, 0, 0]
    assert_same_numbers(finish_training(config, tmp_path), whole)


@pytest.mark.timeout(3600)
def test_a_book_killed_at_random_continues_and_ends_as_one_that_was_not(tmp_path, record_property):
    whole, tree = plant(tmp_path / "whole"), plant(tmp_path / "tree")
    began = time.monotonic()
    assert make_book(whole).wait(600) == 0, said(whole)
    seconds = time.monotonic() - began
    draw = random.Random(2)
    n_kills, n_books = 0, 0
    while n_kills < 8 or n_books == 0:
        process = make_book(tree)
        if wait(process, draw.uniform(0.1, 0.9) * seconds):
            assert process.returncode == 0, said(tree)
            assert read_build(tree) == read_build(whole)
            n_books += 1
            for name in ("_build", ".snakemake", "runs"):
                shutil.rmtree(tree / name)
            continue
        if n_kills % 2:
            os.killpg(process.pid, signal.SIGKILL)  # all, as when the power fails
        else:
            os.kill(child(process), signal.SIGKILL)  # the scheduler alone: its jobs go on
        process.wait(60)
        n_kills += 1
        assert_no_page_is_half(tree)
    record_property("kills", n_kills)


def wait(process: subprocess.Popen, seconds: float) -> bool:
    """Wait so long for the end of a process; say whether it came."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def child(process: subprocess.Popen) -> int:
    listing = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    return int(listing.stdout.split()[0])
