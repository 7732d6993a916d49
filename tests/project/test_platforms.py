"""The project starts and works where fcntl, resource and the signals and calls of POSIX are missing, as on Windows."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import POSIX_ALONE
from tests.project.test_imports import imports_of, module_of, modules, own_imports, project_files
from tests.tools.corpus_tools import RATE, write_sounds
from utils.audio.synthetic_speech import voice

ROOT = Path(__file__).resolve().parents[2]
UNIX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "readline", "curses"}
# portalocker and psutil use other modules on Windows and must be there before those of Linux are taken away
WITHOUT_POSIX = """
import multiprocessing, os, runpy, signal, sys
import portalocker, psutil
sys.modules.update(dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios"), None))
for module, names in {
    signal: ("SIGBUS", "SIGHUP", "SIGUSR2", "SIGALRM", "sigwaitinfo", "pthread_sigmask"),
    os: ("fork", "setsid", "killpg", "sched_getaffinity", "posix_fallocate", "posix_fadvise", "sysconf",
         "getloadavg", "mkfifo"),
}.items():
    for name in names:
        vars(module).pop(name, None)
multiprocessing.set_start_method('spawn')
sys.argv = sys.argv[1:]
"""
RUN = "runpy.run_path(sys.argv[0], run_name='__main__')\n"
SCRIPT = WITHOUT_POSIX + RUN
UNHEARD = WITHOUT_POSIX + "from tests.tools.unheard import leave_out_listening\nleave_out_listening()\n" + RUN
# Lightning needs these two on Linux, though not to be imported
NO_SIGNALS = "for name in ('SIGKILL', 'SIGUSR1'): vars(signal).pop(name, None)\n"
IMPORTS = WITHOUT_POSIX + NO_SIGNALS + "import importlib\nfor name in sys.argv: importlib.import_module(name)\n"
TINY = [
    "discriminator=light", "data.batch_size=2", "data.segment_frames=20", "retrieval.codebook_size=4",
    "trainer.steps=2", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.media=false",
]  # fmt: skip


def without_posix(code: str, *arguments: str, folder: Path) -> str:
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "USERNAME": "somebody"}  # Windows always has the second
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=300
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def unix_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in UNIX_ONLY)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNIX_ONLY:
            yield str(node.module)


@cache
def needs(module: str, package: str) -> bool:
    """Whether a module of ours imports a package, itself or through others of ours."""
    direct = any(name.split(".")[0] == package for name in imports_of(modules()[module]))
    return direct or any(needs(name, package) for name in own_imports(module) if name in modules())


def test_files_that_windows_leaves_out_exist() -> None:
    assert all((ROOT / "tests" / name).is_file() for name in POSIX_ALONE)


@pytest.mark.parametrize("path", project_files(), ids=module_of)
def test_no_module_imports_what_only_unix_has(path: Path) -> None:
    assert not list(unix_imports(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.slow
def test_every_module_can_be_imported_without_posix(tmp_path: Path) -> None:
    optional = {"scripts.slurm_cluster"}  # plays a cluster of Linux machines
    if importlib.util.find_spec("nicegui") is None:  # of the extra studio
        optional |= {name for name in modules() if needs(name, "nicegui")}
    names = [module_of(path) for path in project_files() if "hydra_plugins" not in path.parts]

    without_posix(IMPORTS, *(name for name in names if name not in optional), folder=tmp_path)


@pytest.mark.slow
def test_the_four_scripts_work_without_posix(tmp_path: Path) -> None:
    write_sounds(tmp_path / "recordings", {f"{index}.wav": voice(2.0, seed=index) for index in range(6)})

    def run(script: str, *arguments: str) -> str:
        return without_posix(UNHEARD, str(ROOT / script), *arguments, folder=tmp_path)

    run("preprocess.py", "dataset.source=recordings", "dataset.name=anna", "audio=16k", "content=toy",
        "preprocess.num_workers=1")  # fmt: skip
    run("train.py", "dataset.name=anna", "run.name=anna", "audio=16k", "model=toy", "data.num_workers=1", *TINY)
    run("export_onnx.py", "run=runs/anna", "export.verify_minutes=0", "export.verify_blocks=0")
    (graph,) = (tmp_path / "exports" / "anna").glob("anna_sr*.onnx")
    run("test_model.py", f"onnx={graph}", "audio=recordings/0.wav", "output=converted")

    assert [path.suffix for path in (tmp_path / "converted").iterdir()].count(".wav") == 1
    assert f"_sr{RATE}_" in graph.name


@pytest.mark.slow
@pytest.mark.parametrize("script", ["preprocess.py", "train.py", "export_onnx.py", "test_model.py"])
def test_help_is_there_without_posix(script: str, tmp_path: Path) -> None:
    assert script in without_posix(SCRIPT, str(ROOT / script), "--help", folder=tmp_path)
