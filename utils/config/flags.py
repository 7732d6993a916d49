"""Options with dashes that the scripts have: Hydra's own, checked before Hydra reads them."""

from collections.abc import Sequence

from utils.config.suggestions import did_you_mean
from utils.errors import ConfigError

SWEEP = ("--multirun", "-m")
ACTIONS = ("--run", "-r", *SWEEP, "--cfg", "-c", "--info", "-i")  # one at a time
CHOICES = {
    ("--cfg", "-c"): ("job", "hydra", "all"),
    ("--info", "-i"): ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
PLACES = ("--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
WITH_VALUE = (*(name for names in CHOICES for name in names), *PLACES)
OF_CFG = ("--resolve", "--package", "-p")
ALONE = ("--help", "-h", "--version", "--hydra-help", "--run", "-r", *SWEEP, "--resolve")


def check_flags(arguments: Sequence[str], keys: Sequence[str]) -> None:
    """Refuse what Hydra's own parser would report with all of its usage, or with a traceback.

    Args:
        arguments: the command line without the program.
        keys: of the script, which somebody may have typed with dashes.
    Raises:
        ConfigError: one line.
    """
    names = [argument.partition("=")[0] for argument in arguments]
    actions = [name for name in names if name in ACTIONS]
    if len(actions) > 1:
        raise ConfigError(f"{' and '.join(actions)} exclude each other; give one of them")
    for index, name in enumerate(names):
        if name.startswith("-"):
            _check_flag(name, arguments[index : index + 2], keys)
    lonely = next((name for name in names if name in OF_CFG), None)
    if lonely is not None and not {"--cfg", "-c"} & set(names):
        raise ConfigError(f"{lonely} needs --cfg job, which shows the configuration instead of running")


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """Return what is no flag of Hydra's and no value of one (`--cfg job`, `-p optim`)."""
    before = ["", *arguments]
    return [
        argument
        for flag, argument in zip(before, arguments, strict=False)
        if not argument.startswith("-") and not (flag in WITH_VALUE and "=" not in argument)
    ]


def _check_flag(name: str, here: Sequence[str], keys: Sequence[str]) -> None:
    """Check one flag; what stands behind it on the command line is the second of `here`."""
    allowed = [*ALONE, *WITH_VALUE]
    if name not in allowed:
        key = name.lstrip("-").replace("-", "_")
        value = here[0].partition("=")[2]
        meant = did_you_mean(name, allowed) or did_you_mean(key, keys, f"={value}" if value else "=...")
        raise ConfigError(f"{name} is no option; keys are typed without dashes: key=value{meant}")
    if name not in WITH_VALUE:
        if "=" in here[0]:
            raise ConfigError(f"{name} takes no value; type {name} alone")
        return
    value = here[0].partition("=")[2] if "=" in here[0] else next(iter(here[1:]), "")
    choices = next((found for names, found in CHOICES.items() if name in names), ())
    is_left_out = name in ("--info", "-i") and (not value or value.startswith("-"))
    if choices and not is_left_out and value not in choices:
        raise ConfigError(f"{name} {value}".strip() + f" is not possible; allowed: {', '.join(choices)}")
    if not choices and (not value or value.startswith("-")):
        raise ConfigError(f"{name} needs a value")
