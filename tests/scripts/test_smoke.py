"""What the smoke run makes of the documents."""

from scripts.readme import command_lines, shell_commands
from scripts.smoke import in_small


def test_commands_lose_comments_and_join_continued_lines() -> None:
    block = "# set-up\nmake venv   # once\npython train.py a=1 \\\n  b=2\n\npython train.py 'c=#3'\n"

    assert command_lines(block) == ["make venv", "python train.py a=1    b=2", "python train.py 'c=#3'"]


def test_only_fenced_shell_blocks_are_executed() -> None:
    text = "    python train.py a=1\n\n```sh\npython train.py b=2\n```\n\n```python\nprint(3)\n```\n"

    assert shell_commands(text) == ["python train.py b=2"]


def test_jobs_of_python_lines_get_the_small_sizes() -> None:
    block = in_small('train(train_job(["dataset.name=alice"]))')

    assert block.startswith("train(train_job(['trainer.steps=6', ")
    assert block.endswith(', "dataset.name=alice"]))')
