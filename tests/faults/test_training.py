"""A training that is killed, or asked for twice at once, ends with the numbers of one that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
from functools import partial

import pytest

from tests.faults.training import (
    CLOSED_FORM,
    assert_nothing_is_half,
    assert_same_numbers,
    attempts,
    finish_training,
    is_writing,
    kill,
    kill_at_random,
    run_folder,
    start_training,
    trainers,
    wait_for,
)
from tests.waiting import is_waiting


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return finish_training(CLOSED_FORM, tmp_path_factory.mktemp("whole"))


def test_trainings_killed_three_times_end_with_the_same_numbers(tmp_path, whole, record_property):
    record_property("kills", kill_at_random(CLOSED_FORM, whole, tmp_path, random.Random(0), 3))


@pytest.mark.tried("kills")
def test_a_kill_in_the_middle_of_a_checkpoint_leaves_the_one_before(tmp_path, whole):
    process = start_training(CLOSED_FORM, tmp_path)
    wait_for(lambda: list(tmp_path.glob("digits-*/checkpoint.safetensors")), process)
    while True:
        wait_for(partial(is_writing, process, tmp_path), process)
        assert kill(process)
        if is_writing(process, tmp_path):  # else the file got its name just before
            break
        process = start_training(CLOSED_FORM, tmp_path)
    assert_nothing_is_half(tmp_path)
    assert_same_numbers(finish_training(CLOSED_FORM, tmp_path), whole)
    assert not list(run_folder(tmp_path).glob(".*")), "what the killed process was writing is cleared away"


def test_of_two_that_ask_at_once_one_trains_and_the_other_waits(tmp_path, whole):
    processes = [start_training(CLOSED_FORM, tmp_path) for _ in range(2)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(trainers(tmp_path)) == 1
    assert_same_numbers(finish_training(CLOSED_FORM, tmp_path), whole)
    assert len(trainers(tmp_path)) == 1


@pytest.mark.tried("kills")
def test_the_one_that_waits_takes_over_from_the_one_that_is_killed(tmp_path, whole):
    first = start_training(CLOSED_FORM, tmp_path)
    wait_for(lambda: list(tmp_path.glob("digits-*/checkpoint.safetensors")), first)
    os.kill(first.pid, signal.SIGSTOP)  # it keeps the lock until it is killed, however late the second one comes
    second = start_training(CLOSED_FORM, tmp_path)
    wait_for(lambda: is_waiting(second.pid, attempts(tmp_path)), second)
    assert kill(first)
    second.join(60)
    assert second.exitcode == 0
    assert len(trainers(tmp_path)) == 2
    assert_same_numbers(finish_training(CLOSED_FORM, tmp_path), whole)
