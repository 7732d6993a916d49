"""A script's command line before Hydra reads it: what the environment adds, new names of keys, what is wrong."""

import os
import sys
from collections.abc import Sequence

from utils.config.composing import CONFIG_FOLDER, SCRIPTS
from utils.config.environment import Environment, key_of, read_environment, single_runs, swept_keys
from utils.config.job import Job
from utils.config.renamed import KEYS, with_current_keys
from utils.config.roots import JOBS
from utils.errors import ConfigError

ACTIONS = ("--run", "-r", "--multirun", "-m", "--cfg", "-c", "--info", "-i")  # of Hydra, one at a time
SWEEP = ("--multirun", "-m")
FLAGS_WITH_VALUE = (  # of Hydra
    "--cfg", "-c", "--package", "-p", "--info", "-i", "--config-path", "-cp", "--config-name", "-cn",
    "--config-dir", "-cd", "--experimental-rerun",
)  # fmt: skip


def checked_arguments(job_type: type[Job], arguments: Sequence[str]) -> list[str]:
    """Return the command line as Hydra takes it, with what the environment sets.

    Composes and validates once before Hydra does, which would make a report of an error; a sweep at each of its values.

    Raises:
        ConfigError: in one line, for a typo or a value that is not allowed; names the variable that set it.
    """
    given, notes = with_current_keys(job_type.spell(list(arguments)))
    actions = [argument for argument in given if argument in ACTIONS]
    if len(actions) > 1:
        raise ConfigError(f"{' and '.join(actions)} exclude each other; give one of them")
    overrides = overrides_of(given)
    environment = _read_environment(job_type, overrides)
    from_environment = job_type.spell(list(environment.overrides.values()))
    is_sweep = any(argument in SWEEP for argument in given)
    try:
        everything = [*from_environment, *overrides]
        for run in single_runs(everything) if is_sweep else [everything]:
            job_type.from_overrides(run)
        # which keys vary is known here only: a launcher's job sees all of them alike
        kept = sorted({key_of(item) for item in everything} - swept_keys(everything)) if is_sweep else []
    except ConfigError as error:
        raise environment.blame(error) from error
    _tell(notes, environment, job_type.config_name)
    fixed = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(kept)}]"] if kept else []
    # all overrides in one piece and behind -m: Hydra's parser refuses any other order
    flags = ["--multirun"] if is_sweep else []
    rest = [argument for argument in given if argument not in SWEEP]
    first = next((index for index, argument in enumerate(rest) if argument in overrides), len(rest))
    return [*flags, *rest[:first], *from_environment, *fixed, *rest[first:]]


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """Return what is no flag of Hydra's and no value of one (`--cfg job`, `-p optim`)."""
    before = ["", *arguments]
    return [
        argument
        for flag, argument in zip(before, arguments, strict=False)
        if not argument.startswith("-") and not (flag in FLAGS_WITH_VALUE and "=" not in argument)
    ]


def _read_environment(job_type: type[Job], overrides: list[str]) -> Environment:
    return read_environment(
        os.environ,
        overrides,
        config_name=job_type.config_name,
        config_names=JOBS,
        groups=CONFIG_FOLDER,
        compose=lambda name, overrides: JOBS[name].compose(overrides, with_hydra=True),
        renamed=KEYS | job_type.short_keys,
    )


def _tell(notes: Sequence[str], environment: Environment, config_name: str) -> None:
    """Say once which keys have new names, and what the environment does and does not set."""
    if os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    for note in [*notes, *environment.renamed]:
        sys.stderr.write(f"{note}\n")
    if environment.overrides:
        sys.stderr.write(f"from the environment: {', '.join(environment.overrides.values())}\n")
    if environment.foreign:
        script = SCRIPTS.get(config_name, config_name)
        sys.stderr.write(f"no keys of {script}.py, left alone: {', '.join(environment.foreign)}\n")
