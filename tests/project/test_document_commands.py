"""Every command, key, group and option that the documents name exists. `make smoke` executes those of EXECUTED."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.readme import EXECUTED, fenced_blocks, shell_commands
from scripts.smoke import ELSEWHERE, SMALL
from tests.tools.document_tools import (
    ROOT,
    commands_of,
    is_group,
    known_keys,
    option_texts,
    options_of,
    pages,
    program_of,
    read,
    recipe_keys,
    spans_of,
)
from utils.config.roots import JOBS

MAKEFILE = read("Makefile")
CONFIG_OF = {
    "preprocess.py": "preprocess",
    "train.py": "train",
    "export_onnx.py": "export",
    "test_model.py": "test_model",
    "report.py": "report",
    "studio.py": "studio",
    "live.py": "live",
    "say.py": "say",
    "cover.py": "cover",
}
SETTING = re.compile(r"[~+]*(?P<key>[a-z_]+(?:[./][a-z_0-9]+)*)=(?P<value>.*)")
KEY = re.compile(r"[a-z_]+(?:\.[a-z_0-9]+)+")
# result files keep the commands as they were typed then
CHECKED = [page for page in pages() if page.parts[:2] != ("benchmarks", "results") and page.name != "CHANGELOG.md"]
# what no file below configs/ holds: keys of Optuna's study are passed on, names in the metadata look like keys
FREE = ("hydra.", "extra.")
EXAMPLES = {"mine"}  # options that the reader is to make
FILES = re.compile(r"\.(?:json|py|csv|md|yaml|index|pt|pth|safetensors)$")


def fault_of_setting(setting: str) -> str | None:
    """Return what is wrong with key=value as the scripts take it, or None."""
    match = SETTING.fullmatch(setting)
    if match is None or match["key"].startswith(FREE):
        return None
    key, value = match["key"], match["value"].strip("'\"")
    if key == "audio" and "k" not in value:  # of test_model.py
        return None
    if is_group(key):
        options = [option for option in value.split(",") if re.fullmatch(r"\w+", option)]
        unknown = [option for option in options if option not in options_of(key) | EXAMPLES]
        return f"{key} has no option {unknown}" if unknown else None
    return None if key in known_keys() else f"{key} is no key"


def fault_of_program(words: list[str]) -> str | None:
    """Return what is wrong with the words behind `python`, or None."""
    script = words[1] if words[0] == "-m" else words[0].removeprefix("/voclo-trainer/")  # where the image has it
    arguments = words[2:] if words[0] == "-m" else words[1:]
    path = program_of(script) if words[0] == "-m" else ROOT / script
    if path is None or script.startswith("-"):
        return None
    if not path.is_file():
        return f"{script} does not exist"
    options = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    if script in CONFIG_OF:
        return next((fault for word in arguments if (fault := fault_of_setting(word))), None)
    if path.name == "__main__.py" and path.with_name("settings.yaml").is_file():
        keys = [match["key"] for word in arguments if (match := SETTING.fullmatch(word))]
        unknown = [key for key in keys if key not in recipe_keys(path.parent.name)]
        return f"{script} has no keys {unknown}" if unknown else None
    unknown = [option for option in options if option != "--help" and f'"{option}"' not in option_texts(path)]
    return f"{script} has no {unknown}" if unknown else None


def fault_of_command(line: str) -> str | None:
    """Return what is wrong with a command line, or None."""
    words = shlex.split(line)
    if words[0] == "make":
        target = next(word for word in words[1:] if "=" not in word)
        return None if re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) else f"make has no target {target}"
    if words[0] == "pip":
        files = [after for word, after in pairwise(words) if word == "-r"]
        return next((f"{name} does not exist" for name in files if not (ROOT / name).is_file()), None)
    if words[0] in ("sbatch", "torchrun"):
        script = next(index for index, word in enumerate(words) if word.endswith((".sbatch", ".py")))
        return fault_of_program(words[script:]) or next(
            (f for w in words[script + 1 :] if (f := fault_of_setting(w))), None
        )
    return fault_of_program(words[1:])


@pytest.mark.parametrize("page", CHECKED, ids=str)
def test_commands_name_what_is_there(page: Path) -> None:
    faults = [f"{line[:90]}: {fault}" for line in commands_of(read(page)) if (fault := fault_of_command(line))]

    assert not faults


@pytest.mark.parametrize("page", CHECKED, ids=str)
def test_keys_and_options_in_words_are_there(page: Path) -> None:
    faults = []
    roots = {key.partition(".")[0] for key in known_keys() if "." in key}
    for span in spans_of(read(page)):
        for word in span.split() if not span.startswith(("python ", "pip ")) else []:
            key = word.partition("=")[0]
            fault = fault_of_setting(word) if "." in key or is_group(key) else None
            is_key = KEY.fullmatch(word) and word.partition(".")[0] in roots and not FILES.search(word)
            if is_key and word not in known_keys():
                fault = f"{word} is no key"
            faults += [fault] if fault else []

    assert not faults


@pytest.mark.parametrize("document", EXECUTED)
def test_smoke_run_can_execute_every_line(document: str) -> None:
    for line in shell_commands(read(document)):
        assert line.startswith(("python ", "tensorboard ", *ELSEWHERE)), line
    for block in fenced_blocks(read(document), "python"):
        compile(block, document, "exec")


COMPOSED = sorted({line for document in EXECUTED for line in shell_commands(read(document)) if ".py " in line})


@pytest.mark.parametrize("line", COMPOSED, ids=lambda line: line[:70])
def test_executed_command_composes(line: str) -> None:
    words = shlex.split(line)[1:]
    overrides = [word for word in words[1:] if not word.startswith("-")]
    sweep = "-m" in words
    assert not sweep or words[1] == "-m"  # argparse refuses it between overrides

    job = JOBS[CONFIG_OF[words[0]]]
    assert job.compose(job.spell([item.split(",")[0] if sweep else item for item in overrides]))


@pytest.mark.parametrize("script", SMALL)
def test_sizes_of_the_smoke_run_are_for_commands_that_it_executes(script: str) -> None:
    lines = [shlex.split(line)[1:] for document in EXECUTED for line in shell_commands(read(document))]
    names = {words[1] if words[0] == "-m" else words[0] for words in lines if words}

    assert script.partition(" ")[0] in names
