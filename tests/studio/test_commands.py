"""Command lines of the pages: the scripts take them, and what is wrong is told with its key."""

import pytest

from studio import commands
from studio.command_lines import check_arguments
from studio.commands import Command


def made() -> dict[str, Command]:
    prepared = {f"prepare {goal}": commands.prepare("rec", "anna", goal, encoder="e.pt") for goal in commands.GOALS}
    trained = {f"train {preset}": commands.train("anna", "anna", preset, 5) for preset in commands.PRESETS}
    exported = {
        f"export {kind}": commands.export("runs/anna", "anna", "CC BY 4.0", "mine, all [uses]", kind)
        for kind in commands.FORMATS
    }
    others = {
        "resume": commands.resume("anna", "anna", "tonight", None, ["seed=2"]),
        "convert": commands.convert("a.onnx", "songs", "converted/anna", ["pitch_shift=auto", "index_rate=0.5"]),
        "verify": commands.verify("exports/a/a.onnx"),
        "hear": commands.convert("runs/a/checkpoints/previous.ckpt", "songs", ".studio/heard/a/last@1@auto@own@0.5"),
    }
    foreign = {
        f"export {kind} of a file heard by {encoder or 'itself'}": commands.export_file(
            "imported/bob (2)/bob.pth", "bob", "", "his own", kind, encoder=encoder, encoder_file="e.pt",
            index="imported/bob (2)/bob.index", settings=["rvc.f0_convention=interpolated"],
        )
        for kind in commands.FOREIGN_FORMATS
        for encoder in ("contentvec", "builtin", "")
    }  # fmt: skip
    return prepared | trained | exported | others | foreign


@pytest.mark.parametrize("name", made())
def test_the_scripts_and_the_queue_take_every_command(name: str) -> None:
    command = made()[name]

    assert command.problem() is None
    check_arguments([command.script, *command.overrides])
    assert command.text.startswith(f"python {command.script} ")


def test_what_is_wrong_is_told_with_its_key() -> None:
    problem = commands.prepare("rec", "a/b", "speech").problem()

    assert problem is not None
    assert problem.key == "dataset.name" and "a plain name" in problem.text


def test_a_setting_of_the_page_wins_over_that_of_the_preset() -> None:
    command = commands.train("anna", "anna", "gpu", 5, ["trainer.steps=7", "trainer.max_minutes=1"])

    assert command.overrides.count("trainer.steps=7") == 1
    assert [item for item in command.overrides if item.startswith("trainer.max")] == ["trainer.max_minutes=1"]
    assert command.problem() is None


def test_an_impossible_setting_is_one_line() -> None:
    problem = commands.train("anna", "anna", "tonight", 5, ["data.batch_size=0"]).problem()

    assert problem is not None
    assert problem.key == "data.batch_size" and "at least 1" in problem.text
