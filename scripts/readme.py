"""Read the commands out of README.md, so that they can be run and checked."""

import re


def fenced_blocks(text: str, language: str) -> list[str]:
    """Return the contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def shell_commands(text: str) -> list[str]:
    """Return every command line of the `sh` blocks, in order."""
    lines = [line.strip() for block in fenced_blocks(text, "sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def python_blocks(text: str) -> list[str]:
    """Return the `python` blocks."""
    return fenced_blocks(text, "python")
