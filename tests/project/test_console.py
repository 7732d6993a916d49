"""What is written to standard output."""

import io
import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from utils.command_line import run_program
from utils.console import VisibleFormatter, emit, pasted, table, tell_error
from utils.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_name_that_is_no_utf_8_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="utf-8", errors="strict"))

    emit("caf\udce9.wav -> süß")

    assert shown.getvalue().decode("utf-8") == "caf\ufffd.wav -> süß\n"


@pytest.mark.parametrize(("encoding", "line"), [("cp1252", "?.wav -> süß"), ("ascii", "?.wav -> s??")])
def test_a_console_that_holds_some_letters_only_shows_those(
    encoding: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding, errors="strict", newline="\n"))

    emit("声.wav -> süß")

    assert shown.getvalue().decode(encoding) == line + "\n"


def in_a_process(code: str, *, stdout: str, encoding: str = "cp1252") -> tuple[int, str]:
    """Exit code and standard error of a program whose standard output is closed, full or a pipe that nobody reads."""
    program = (
        f"import sys, {', '.join(('logging', 'os'))}\nfrom utils.console import emit, protect_console, tell\n{code}"
    )
    words = [shlex.quote(sys.executable), "-c", shlex.quote(program)]
    command = {"broken": f"{' '.join(words)} | true; exit ${{PIPESTATUS[0]}}", "closed": f"{' '.join(words)} >&-",
               "full": f"{' '.join(words)} >/dev/full", "whole": f"{' '.join(words)} >/dev/null"}[stdout]  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stderr.decode("utf-8", "replace")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and bash")
@pytest.mark.parametrize("stdout", ["broken", "closed", "full", "whole"])
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_no_console_ends_a_program(stdout: str, encoding: str) -> None:
    code = """
protect_console()
import time
for _ in range(3):
    emit("声 " * 5000)
    sys.stdout.write("😀 \\udce9" * 5000)
    time.sleep(0.01)
logging.basicConfig(stream=sys.stderr)
logging.getLogger("x").warning("声 😀")
tell("done 声")
"""

    returncode, said = in_a_process(code, stdout=stdout, encoding=encoding)

    assert returncode == 0
    assert "Traceback" not in said and "Exception ignored" not in said and "Logging error" not in said
    assert "done " in said


def test_a_log_that_was_set_up_before_goes_on() -> None:
    code = "logging.basicConfig()\nprotect_console()\nlogging.warning('heard 声')"

    returncode, said = in_a_process(code, stdout="whole", encoding="ascii")

    assert returncode == 0 and said.startswith("WARNING:root:heard ") and len(said.splitlines()) == 1


def test_emitting_needs_no_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    emit("x")
    monkeypatch.setattr(sys, "stdout", None)
    emit("x")


def test_hints_can_be_pasted() -> None:
    assert pasted("python", "train.py", "run.name=Žofie (2)") == "python train.py 'run.name=Žofie (2)'"


STEERING = "\x1b[2J\x1b]0;title\x07\r\x9b1m\u202eevil"
SHOWN = r"\x1b[2J\x1b]0;title\x07\r\x9b1m\u202eevil"


def test_no_name_steers_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    emit(f"{STEERING}\n\tža 声 👩‍🚀")
    tell_error("error", [f"{STEERING}.wav\nPASS", "Type: x"])
    record = logging.LogRecord("x", logging.WARNING, "", 0, "heard %s", (STEERING,), None)
    assert VisibleFormatter("%(message)s").format(record) == f"heard {SHOWN}"

    out, err = capfd.readouterr()

    assert out == f"{SHOWN}\n\tža 声 👩‍🚀\n"
    assert err == f"error: {SHOWN}.wav\\nPASS\nType: x\n"


def test_a_name_of_two_lines_is_one_row_of_a_table() -> None:
    assert table([["a\nb", 1.0]], ["name", "x"]).splitlines()[2:] == ["a\\nb  1"]


def test_an_error_of_a_program_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise DataError("a\nType: rm.wav is no sound", hint="python x")

    assert run_program("x", fail) == 2
    assert capsys.readouterr().err == "error: a\\nType: rm.wav is no sound\nType: python x\n"
