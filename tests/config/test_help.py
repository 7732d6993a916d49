"""--help and --version of the scripts."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from utils.config import run_script
from utils.config.fields import Section, section_of
from utils.config.help import help_text
from utils.config.job import Job
from utils.config.places import options_of
from utils.config.roots import JOBS
from utils.config.train import TrainJob
from utils.version import VERSION


def plain_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is not None:
            yield from plain_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def line_of(text: str, key: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"  {key}=")]
    return line


@pytest.mark.parametrize("job", JOBS.values(), ids=list(JOBS))
def test_help_has_usage_environment_and_every_key(job: type[Job]) -> None:
    text = help_text(job, [])

    assert text.startswith(job.usage)
    assert "Environment variables set keys too" in text
    for key in plain_keys(job):
        assert f"\n  {key}=" in text or f"\n  {key}." in text or key in ("logger", "content", "pitch"), key


@pytest.mark.slow
def test_help_says_unit_range_choices_and_use() -> None:
    assert "generator updates (at least 1)" in line_of(help_text(TrainJob, []), "trainer.steps")
    assert "(auto | 32-true | bf16-mixed | 16-mixed)" in line_of(help_text(TrainJob, []), "trainer.precision")
    export = help_text(JOBS["export"], [])
    shift = line_of(export, "export.defaults.pitch_shift")
    assert "-36 to 36 or auto (in semitones; only with export=onnx)" in shift
    assert "(between 17 and 20; only with export=onnx)" in line_of(export, "export.opset")


def test_help_has_the_values_of_the_command_line() -> None:
    text = help_text(TrainJob, ["experiment=rvc_v2_48k", "trainer.steps=7"])

    assert line_of(text, "trainer.steps").startswith("  trainer.steps=7 ")
    assert line_of(text, "audio.sample_rate").startswith("  audio.sample_rate=48000 ")
    assert "rvc_v2_48k*" in text


@pytest.mark.parametrize("group", ["model", "optim/schedule", "debug", "experiment"])
def test_help_lists_the_options_of_a_group(group: str) -> None:
    lines = help_text(TrainJob, []).splitlines()

    listed = lines[next(index for index, line in enumerate(lines) if line.startswith(f"  {group}: ")) + 1]
    assert [option.rstrip("*") for option in listed.split()] == options_of(group)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--version", "--help", "-h"])
@pytest.mark.parametrize("job", JOBS.values(), ids=list(JOBS))
def test_script_answers_without_its_task(
    job: type[Job], flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["script.py", flag])
    done: list[Any] = []

    run_script(job, done.append)

    said = capsys.readouterr().out
    assert said == f"voclo-trainer {VERSION}\n" if flag == "--version" else said.startswith(job.usage)
    assert not done


def test_help_with_a_wrong_key_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "trainer.step=3", "--help"])

    with pytest.raises(SystemExit) as caught:
        run_script(TrainJob, lambda job: None)

    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
