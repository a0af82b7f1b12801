"""From a configuration to measured conditions: runs that are found again, models at matched activity, studies."""

from __future__ import annotations

from wlsc.experiments.runs import (
    Config,
    DataConfig,
    ModelConfig,
    Run,
    TrainingConfig,
    TrainingInterrupted,
    digest,
    list_runs,
    load_config,
    load_data,
    load_run,
    read_config,
    run,
    run_address,
    surroundings,
)

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "Run",
    "TrainingConfig",
    "TrainingInterrupted",
    "digest",
    "list_runs",
    "load_config",
    "load_data",
    "load_run",
    "read_config",
    "run",
    "run_address",
    "surroundings",
]
