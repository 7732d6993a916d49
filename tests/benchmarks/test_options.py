"""The command lines of the benchmarks: every program has the common one, and figures are written where it says."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import options as options_module
from benchmarks.options import BenchmarkParser, check_recordings, is_absent, work_folder, write_figures
from utils.errors import DataError

FOLDER = Path(options_module.__file__).parent
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if '"__main__"' in path.read_text(encoding="utf-8"))
WORKERS = {  # started by other programs
    "interop_worker", "rvc_speed_ours", "rvc_speed_public", "sovits_speed_public", "training_speed_worker",
}  # fmt: skip
TABLE = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_work_and_figures_go_where_the_command_line_says(tmp_path: Path) -> None:
    parser = BenchmarkParser("trial", "A trial.")
    parser.add_work()

    given = parser.parse_args(["--work", str(tmp_path / "work"), "--json", str(tmp_path / "own.json")])
    write_figures(given, "trial", {"a": 1})
    default = parser.parse_args(["--work", str(tmp_path / "work")])
    work = work_folder(default)
    write_figures(default, "trial", {"a": 2})

    assert json.loads((tmp_path / "own.json").read_text()) == {"a": 1}
    assert json.loads((work / "trial.json").read_text()) == {"a": 2}


def test_a_program_without_a_folder_writes_figures_only_where_asked(tmp_path: Path) -> None:
    parser = BenchmarkParser("trial", "A trial.")
    parser.add_json()

    write_figures(parser.parse_args([]), "trial", {"a": 1})
    write_figures(parser.parse_args([f"--json={tmp_path / 'own.json'}"]), "trial", {"a": 1})

    assert [path.name for path in tmp_path.iterdir()] == ["own.json"]


def test_absent_recordings_are_named_with_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_absent(tmp_path / "nowhere", "--target")
    assert not is_absent(tmp_path, "--target")

    assert capsys.readouterr().out == f"skipped: {tmp_path / 'nowhere'} is not there; name recordings with --target\n"


@pytest.mark.parametrize("option", ["target", "sources"])
def test_absent_folders_are_refused_before_anything_is_made(option: str, tmp_path: Path) -> None:
    parser = BenchmarkParser("trial", "A trial.")
    parser.add_target()
    parser.add_sources(3)
    folders = dict.fromkeys(("target", "sources"), tmp_path) | {option: tmp_path / "nowhere"}

    with pytest.raises(DataError, match=rf"nowhere is not there; name recordings with --{option}"):
        check_recordings(parser.parse_args([f"--{name}={folder}" for name, folder in folders.items()]))
    check_recordings(parser.parse_args([f"--target={tmp_path}", f"--sources={tmp_path}"]))


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in WORKERS])
def test_every_program_uses_the_common_command_line_and_stands_in_the_table(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")

    assert f'BenchmarkParser("{name}", __doc__)' in source and "run_program(" in source
    assert "argparse.ArgumentParser(" not in source
    assert "parents[1]" not in source, "python -m finds the project; nothing is put into sys.path for it"
    assert re.search(rf"^\| `{name}` \|", TABLE, re.MULTILINE), "benchmarks/README.md does not name it"


def test_the_table_names_no_other_program() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TABLE, re.MULTILINE)) == set(PROGRAMS) - WORKERS
