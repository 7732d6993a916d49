"""The command lines that the studio may run: our scripts, with arguments that stay in their configuration."""

import re
from collections.abc import Sequence

from studio.texts import Line
from utils.console import pasted
from utils.errors import ConfigError

SCRIPTS = ("preprocess.py", "train.py", "export_onnx.py", "test_model.py", "report.py")
FLAGS = ("-m", "--multirun", "--help", "--version")
DEVICE = re.compile(r"cpu|mps|cuda:\d{1,3}")
MOST_ARGUMENTS, LONGEST = 500, 10_000
# keys that would let Python import whatever is named, or Hydra write and read elsewhere
REFUSED = re.compile(r"[+~]*(?:hydra(?:[./@].*)?|.*_target_|trust)\s*(?:=.*)?", re.DOTALL)


def check_arguments(arguments: Sequence[str]) -> None:
    """Check what a page hands over: a script of ours, and settings that name no class and no settings of Hydra.

    A page of the browser must not be a way to run code of somebody's choice, even if it is reached by somebody who
    should not: the groups (model=lite, content=hubert) choose among the classes of this workbench.

    Raises:
        ConfigError: names the argument.
    """
    if not arguments or arguments[0] not in SCRIPTS:
        found = arguments[0] if arguments else ""
        raise ConfigError(Line("error.command_script", command=found, scripts=", ".join(SCRIPTS)))
    if len(arguments) > MOST_ARGUMENTS:
        raise ConfigError(Line("error.command_arguments", number=len(arguments), most=MOST_ARGUMENTS))
    for argument in arguments[1:]:
        if len(argument) > LONGEST or "\0" in argument:
            raise ConfigError(Line("error.command_long", argument=repr(argument[:40]), most=LONGEST))
        if argument.startswith("-") and argument not in FLAGS:
            raise ConfigError(Line("error.command_flag", argument=argument, flags=", ".join(FLAGS)))
        if REFUSED.fullmatch(argument.partition("=")[0].strip()):
            raise ConfigError(Line("error.command_refused", argument=argument[:80]))


def check_device(device: str) -> None:
    """Check the name of a device.

    Raises:
        ConfigError: if it is none.
    """
    if not DEVICE.fullmatch(device):
        raise ConfigError(Line("error.device", device=device))


def environment_of(device: str) -> dict[str, str]:
    """Return the variables that show a command its device alone."""
    if device.startswith("cuda:"):
        return {"CUDA_VISIBLE_DEVICES": device.removeprefix("cuda:")}
    return {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}


def command_line(arguments: Sequence[str], device: str = "cpu") -> str:
    """Return the command as one line for a shell, with the GPU where it is not the first."""
    number = device.removeprefix("cuda:")
    before = f"CUDA_VISIBLE_DEVICES={number} " if number.isdigit() and number != "0" else ""
    return f"{before}python {pasted(*arguments)}"


def continued(arguments: Sequence[str]) -> list[str]:
    """Return the command that goes on with a training where its last saved state is, and begins where there is none."""
    return [item for item in arguments if not re.match(r"(resume|run\.replace)\s*=", item)] + ["resume=auto"]
