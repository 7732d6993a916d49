"""Read the commands out of the documents, so that they can be run and checked."""

import re

# whose fenced `sh` and `python` blocks the smoke run executes, in this order and each command once
EXECUTED = (
    "README.md",
    "docs/tutorials/first_voice.md",
    "docs/tutorials/python_pipeline.md",
    "docs/tutorials/live.md",
    "docs/tutorials/other_program.md",
    "docs/guides/training.md",
    "docs/guides/judged_training.md",
    "docs/guides/report.md",
    "docs/guides/sweeps.md",
    "docs/guides/evaluation.md",
)


def fenced_blocks(text: str, language: str) -> list[str]:
    """Return the contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def shell_commands(text: str) -> list[str]:
    """Return every command line of the `sh` blocks, in order."""
    return command_lines("\n".join(fenced_blocks(text, "sh")))


def command_lines(block: str) -> list[str]:
    """Return the command lines of a block: without comments, lines that end with a backslash joined to the next."""
    lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s+# .*", "", line) for line in lines if line and not line.startswith("#")]


def python_blocks(text: str) -> list[str]:
    """Return the `python` blocks."""
    return fenced_blocks(text, "python")
