"""A script's command line before Hydra reads it: what the environment adds, new names of keys, what is wrong."""

import os
from collections.abc import Sequence

from utils.config.environment import Environment, key_of, read_environment, single_runs, swept_keys
from utils.config.fields import fields_of
from utils.config.flags import SWEEP, check_flags, overrides_of
from utils.config.job import Job
from utils.config.places import CONFIG_FOLDER, script_of
from utils.config.renamed import KEYS, with_current_keys
from utils.config.roots import JOBS
from utils.config.secret_keys import without_secret
from utils.config.suggestions import did_you_mean
from utils.console import tell
from utils.errors import ConfigError


def checked_arguments(job_type: type[Job], arguments: Sequence[str]) -> list[str]:
    """Return the command line as Hydra takes it, with what the environment sets.

    Composes and validates once before Hydra does, which would make a report of an error; a sweep at each of its values.

    Raises:
        ConfigError: in one line, for a typo or a value that is not allowed; names the variable that set it.
    """
    refuse_words(job_type, arguments)
    given, notes = with_current_keys(job_type.spell(list(arguments)))
    overrides = overrides_of(given)
    environment = _read_environment(job_type, overrides)
    is_sweep = any(argument in SWEEP for argument in given)
    from_environment = job_type.spell(list(environment.overrides.values()), is_sweep=is_sweep)
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


def refuse_words(job_type: type[Job], arguments: Sequence[str]) -> None:
    """Refuse flags that a script does not have, and words that are no key=value.

    Raises:
        ConfigError: in one line.
    """
    keys = [key for key, _ in fields_of(job_type)]
    check_flags(arguments, keys)
    for word in overrides_of(arguments):
        key, separator, _ = word.partition("=")
        if not separator and not word.startswith("~"):
            meant = did_you_mean(word, keys, "=...")
            raise ConfigError(
                f"{word!r} is no key=value{meant} ({script_of(job_type.config_name)} --help lists the keys)"
            )
        if separator and not key.strip("+~ "):
            raise ConfigError(f"{word!r} has no key; type key=value, without blanks around =")


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
        tell(note)
    if environment.overrides:
        tell(f"from the environment: {', '.join(map(without_secret, environment.overrides.values()))}")
    if environment.foreign:
        tell(f"no keys of {script_of(config_name)}, left alone: {', '.join(environment.foreign)}")
