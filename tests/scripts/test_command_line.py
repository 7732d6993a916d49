"""What all command lines have in common: values of options, and errors as one line with their exit code."""

import argparse
from pathlib import Path

import pytest

from utils.command_line import first_line, new_file, positive_number, run_program, whole_number
from utils.errors import DataError, TrainingError


@pytest.mark.parametrize(("error", "code"), [(DataError("no sound"), 2), (TrainingError("diverged"), 1)])
def test_an_error_that_the_user_can_repair_is_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert run_program("trial", work) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_any_other_error_keeps_its_traceback() -> None:
    def work() -> int:
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        run_program("trial", work)


def test_the_exit_code_is_that_of_the_work() -> None:
    assert run_program("trial", lambda: 1) == 1
    assert run_program("trial", lambda: None) == 0


@pytest.mark.parametrize(
    ("read", "text"),
    [(whole_number, "0"), (whole_number, "-3"), (positive_number, "0"), (positive_number, "inf"), (new_file, ".")],
)
def test_values_out_of_range_are_refused_by_the_parser(read: type, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        read(text)


def test_values_in_range_are_read(tmp_path: Path) -> None:
    assert (whole_number("3"), positive_number("0.5")) == (3, 0.5)
    assert new_file(str(tmp_path / "a.json")) == tmp_path / "a.json"


def test_a_program_is_described_by_the_first_line_of_its_module() -> None:
    assert first_line("One.\n\nTwo.") == "One."
    assert first_line(None) == ""
