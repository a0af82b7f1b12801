"""A real SLURM of one node on the loopback interface, with all its files in one folder, gone when the test is over."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import give_up

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")

#: Memory of the node (MB), and its processors: fewer than jobs, so that some must wait.
MEMORY_MB, N_PROCESSORS = 8000, 2

CONFIGURATION = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
KillWait=2
MinJobAge=86400
MpiDefault=none
PlugStackConfig=/dev/null
SchedulerParameters=sched_interval=1
NodeName=localhost NodeAddr=127.0.0.1 CPUs={processors} RealMemory={memory} State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm_node() -> Iterator[dict[str, str]]:
    """Start a node; give the environment in which SLURM's commands find it."""
    path = f"{os.environ['PATH']}:/usr/sbin"  # where Debian puts the daemons, and users do not look
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    if missing:
        give_up(f"SLURM is not installed here: no {', '.join(missing)}")
    with ExitStack() as stack:
        # sockets have short names, which pytest's folders are too long for
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        configuration = folder / "slurm.conf"
        controller, daemon = free_ports(2)
        configuration.write_text(
            CONFIGURATION.format(
                controller=controller,
                daemon=daemon,
                user=getpass.getuser(),
                folder=folder,
                processors=N_PROCESSORS,
                memory=MEMORY_MB,
            )
        )
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        environment = os.environ | {"SLURM_CONF": str(configuration)}
        environment["PATH"] = f"{write_srun(folder, configuration)}:{path}"
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
        commands = (
            ["munged", "--foreground", "--force", f"--key-file={key}", *options],
            ["slurmctld", "-D", "-c", "-f", str(configuration)],
            ["slurmd", "-D", "-c", "-N", "localhost", "-f", str(configuration)],
        )
        for command in commands:
            stack.enter_context(running(command, environment, folder))
        wait_until_idle(environment, folder)
        stack.callback(cancel_jobs, environment)  # they would outlive the daemons
        yield environment


def cancel_jobs(environment: dict[str, str]) -> None:
    """Cancel all jobs and wait until their processes are gone."""
    subprocess.run(["scancel", f"--user={getpass.getuser()}"], env=environment)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and asked(["squeue", "--noheader"], environment):
        time.sleep(0.5)


def asked(command: list[str], environment: dict[str, str]) -> str:
    """What a command of SLURM's prints, messages included."""
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()


def write_srun(folder: Path, configuration: Path) -> Path:
    """Put an ``srun`` into a folder of programs that finds the node.

    Snakemake's job steps drop ``SLURM_CONF`` from the environment, since clusters have their configuration in /etc.
    """
    programs = folder / "bin"
    programs.mkdir()
    script = programs / "srun"
    script.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    script.chmod(0o755)
    return programs


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Run a daemon for as long as the block lasts."""
    with (folder / f"{command[0]}.out").open("w") as stream:
        daemon = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        if command[0] == "munged":
            while not (folder / "munge.socket").exists() and daemon.poll() is None:
                time.sleep(0.05)
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    """Wait for the node; fail with what the daemons said if it does not come."""
    deadline = time.monotonic() + 60
    while (state := asked(["sinfo", "--noheader", "--format=%T"], environment)) != "idle":
        if time.monotonic() > deadline:
            logs = [*folder.glob("*.log"), *folder.glob("*.out")]
            said = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-2000:]}" for path in logs)
            raise AssertionError(f"the node did not become idle: {state}\n{said}")
        time.sleep(0.5)
