"""README.md says only what is there; tests/project/test_document_commands.py checks its commands."""

import re
import shlex

from scripts.readme import fenced_blocks, python_blocks, shell_commands
from tests.tools.document_tools import ROOT, read

README = read("README.md")
SCRIPTS = ["preprocess.py", "train.py", "export_onnx.py", "test_model.py"]


def test_four_commands_make_a_voice() -> None:
    commands = [shlex.split(line)[1:] for line in shell_commands(README) if line.startswith("python ")]

    assert [words[0] for words in commands] == SCRIPTS


def test_demo_and_test_are_the_first_two_commands() -> None:
    assert re.findall(r"^    make (\w+)", README, flags=re.MULTILINE)[:2] == ["demo", "test"]


def test_python_lines_are_few() -> None:
    for block in python_blocks(README):
        assert len([line for line in block.splitlines() if line.strip()]) <= 10


def test_no_shell_block_is_empty() -> None:
    assert all(block.strip() for block in fenced_blocks(README, "sh"))


def test_named_lock_files_exist() -> None:
    for name in re.findall(r"requirements[\w.-]+\w", README):
        assert (ROOT / name).is_file(), name
