"""Execute the commands of README and of the tutorials on synthetic recordings, in small sizes.

    make smoke

In a folder of their own, each command of the documents in EXECUTED runs once and as it stands there; only what makes it
quick is added (`SMALL`). Ends with an error at the first that fails.
"""

import argparse
import logging
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from scripts.pipeline import ROOT, empty_folder, only_file, run_script
from scripts.readme import EXECUTED, python_blocks, shell_commands
from utils.audio.synthetic_speech import write_recordings
from utils.command_line import first_line, run_program
from utils.console import emit, table
from utils.errors import WorkbenchError

TRAINING = ["trainer.steps=6", "data.batch_size=2", "data.segment_frames=40", "data.val_segment_frames=100",
            "retrieval.codebook_size=32", "trainer.progress_bar=false"]  # fmt: skip
# what is added to a script's command; after the name of an option: where it is given, instead of what the script gets
SMALL = {
    "train.py": [*TRAINING, "trainer.validate_every=3"],
    "train.py evaluation=": [*TRAINING, "trainer.validate_every=6", "evaluation.most_sources=1",
                             "evaluation.most_held_out=1"],
    "export_onnx.py export.rates=": ["export.verify_minutes=0", "export.verify_blocks=50"],
    "export_onnx.py": ["export.verify_minutes=0.1", "export.verify_blocks=200"],
    "test_model.py verify=": ["verify_minutes=0.1", "verify_blocks=50"],
    "benchmarks.voice_quality": ["--evaluators=resemblyzer", "--source-count=2", "--work=quality"],
    "utils.evaluation.report": ["--evaluators=resemblyzer"],
}  # fmt: skip
# command lines of the documents that are set-up and are not run here
ELSEWHERE = ("make ", ". ", "pip install ")
EXTRAS = ("fastapi",)  # packages whose examples run only where they are installed
OLD_RUNTIMES = ("1.20.1", "1.23.2")  # of the last two years, besides the one in requirements.lock
log = logging.getLogger(__name__)


def prepare(work: Path) -> None:
    """Make the recordings that the documents speak of."""
    empty_folder(work)
    write_recordings(work / "recordings" / "alice", num_files=6, seconds=6.0, f0_hz=210, sample_rate=44100)
    write_recordings(work / "recordings" / "others", num_files=2, seconds=3.0, f0_hz=115, sample_rate=16000)
    write_recordings(work / "songs", num_files=1, seconds=3.0, f0_hz=120, sample_rate=24000)
    shutil.copyfile(work / "songs" / "songs_00.wav", work / "song.wav")


def run_command(line: str, work: Path) -> float | None:
    """Run one line of a document; return its seconds, or None for what is not run here (set-up).

    Raises:
        WorkbenchError: if it fails or nothing is known about how to run it.
    """
    if line.startswith(ELSEWHERE):
        return None
    words = shlex.split(line)
    if words[0] == "tensorboard":
        return run_script(["-m", "tensorboard.main", "--inspect", *words[1:]], work)
    if words[0] != "python":
        raise WorkbenchError(f"the documents have a command that the smoke run cannot execute: {line}")
    command = words[1:]
    name = command[1] if command[0] == "-m" else command[0]
    return run_script([*command, *small_sizes(name, command)], work)


def small_sizes(name: str, command: Sequence[str]) -> list[str]:
    """Return what makes a command of a script or module quick."""
    for use, sizes in SMALL.items():
        script, _, option = use.partition(" ")
        if script == name and option and any(word.startswith(option) for word in command):
            return sizes
    return SMALL.get(name, [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.smoke", description=first_line(__doc__))
    parser.add_argument("--work", type=Path, default=ROOT / "smoke", help="folder, emptied first")
    options = parser.parse_args(arguments)
    return run_program("smoke", lambda: smoke(options.work.resolve()))


def smoke(work: Path) -> int:
    """Run all that the documents type, then the voice in older runtimes and the Python lines; print the times."""
    prepare(work)
    texts = [(ROOT / document).read_text(encoding="utf-8") for document in EXECUTED]
    rows: list[list[object]] = []
    for line in dict.fromkeys(line for text in texts for line in shell_commands(text)):
        log.info(line)
        seconds = run_command(line, work)
        rows.append([line[:90], "set-up" if seconds is None else f"{seconds:.1f}"])
    exported = only_file(work / "exports" / "alice", "*.onnx")
    command = ["-m", "benchmarks.old_runtimes", str(exported), *OLD_RUNTIMES, "--folder", str(work / "runtimes")]
    rows.append([f"the voice in onnxruntime {', '.join(OLD_RUNTIMES)}", f"{run_script(command, work):.1f}"])
    for document, text in zip(EXECUTED, texts, strict=True):
        for block in python_blocks(text):
            absent = absent_extra(block)
            done = f"without {absent}" if absent else f"{run_script(['-c', in_small(block)], work):.1f}"
            rows.append([f"the Python lines of {document}", done])
    emit(table(rows, ["command of the documents", "seconds"]))
    return 0


def absent_extra(block: str) -> str | None:
    """Return a package of pyproject.toml's extras that a block imports and that is not installed."""
    return next((name for name in EXTRAS if f"from {name} import" in block and find_spec(name) is None), None)


def in_small(block: str) -> str:
    """Return a Python block whose jobs get the small sizes, too."""
    for job, script in {"train_job([": "train.py", "export_job([": "export_onnx.py"}.items():
        block = block.replace(job, f"{job}{', '.join(map(repr, SMALL[script]))}, ")
    return block


if __name__ == "__main__":
    sys.exit(main())
