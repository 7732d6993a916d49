"""README.md says only what is there. `make smoke` executes its commands; here they are checked quickly."""

import re
import shlex
from pathlib import Path

import pytest

from scripts.readme import fenced_blocks, python_blocks, shell_commands
from scripts.smoke import ELSEWHERE, SMALL
from utils.config import compose
from utils.config.arguments import spell_paths

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONFIG_OF = {
    "preprocess.py": "preprocess",
    "train.py": "train",
    "export_onnx.py": "export",
    "test_model.py": "test_model",
}
SCRIPT_LINES = [shlex.split(line)[1:] for line in shell_commands(README) if line.startswith("python ")]
HYDRA_LINES = [words for words in SCRIPT_LINES if words[0] in CONFIG_OF]


def test_four_commands_make_a_voice() -> None:
    scripts = [words[0] for words in HYDRA_LINES[:4]]

    assert scripts == ["preprocess.py", "train.py", "export_onnx.py", "test_model.py"]


@pytest.mark.parametrize("words", HYDRA_LINES, ids=lambda words: " ".join(words)[:60])
def test_command_composes(words: list[str]) -> None:
    overrides = [word for word in words[1:] if not word.startswith("-")]
    sweep = "-m" in words
    assert not sweep or words[1] == "-m"  # argparse refuses it between overrides

    if words[0] == "test_model.py":
        overrides = spell_paths(overrides, ("onnx", "audio", "output", "report"), {"audio": "audio.path"})

    config = compose(CONFIG_OF[words[0]], [item.split(",")[0] if sweep else item for item in overrides])

    assert config


@pytest.mark.parametrize("script", SMALL)
def test_sizes_of_the_smoke_run_are_for_commands_of_readme(script: str) -> None:
    names = {words[1] if words[0] == "-m" else words[0] for words in SCRIPT_LINES}

    assert script.partition(" ")[0] in names


def test_every_command_line_can_be_executed_by_the_smoke_run() -> None:
    for line in shell_commands(README):
        assert line.startswith(("python ", "tensorboard ", *ELSEWHERE)), line


def test_make_targets_exist() -> None:
    named = set(re.findall(r"`make (\w+)`", README)) | set(re.findall(r"^    make (\w+)", README, flags=re.MULTILINE))

    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), target


def test_linked_and_named_files_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    named = re.findall(r"-r (requirements[\w.-]+)", README)

    for path in [*links, *named]:
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(("index", "longest"), [(0, 10), (1, 18)])
def test_python_lines_compile_and_are_few(index: int, longest: int) -> None:
    block = python_blocks(README)[index]

    compile(block, "README.md", "exec")
    assert len([line for line in block.splitlines() if line.strip()]) <= longest


def test_every_option_of_every_group_is_named() -> None:
    absent = []
    for path in (ROOT / "configs").rglob("*.yaml"):
        group = path.parent.relative_to(ROOT / "configs")
        # a folder below a group holds what its options share
        if len(group.parts) == 1 and not (f"`{group}`" in README and f"`{path.stem}`" in README):
            absent.append(f"{group}={path.stem}")

    assert not absent, f"README's table does not name {absent}"


def test_no_shell_block_is_empty() -> None:
    assert all(block.strip() for block in fenced_blocks(README, "sh"))
