"""Plant faults into a good voice and count how many verification finds; or count its false alarms on sound voices.

    python -m benchmarks.planted_faults exports/demo/<file>.onnx [--faults <name> ...] [--all-rules] [--list]
    python -m benchmarks.planted_faults --sound <folder of exports>

For each fault: caught or not, and the first rule that found it, or all that do. The exit code is 1 if one is not found,
or a sound voice is refused. benchmarks.sound_voices makes voices of many kinds. Takes about 5 s of a processor for a
fault, 10 s with all rules or for a voice.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from benchmarks.fault_edits import GraphEditor
from benchmarks.options import BenchmarkParser
from benchmarks.rare_faults import FAULTS
from utils.command_line import run_program
from utils.console import emit
from utils.errors import ConfigError
from utils.verification.candidate import Candidate, Extent
from utils.verification.checks import Check
from utils.verification.rules import LISTENING, outcomes

EXTENT = Extent(minutes=0, num_blocks=20)
MOST_SHOWN = 4


def failures(path: Path) -> Iterator[Check]:
    """Yield the rules that a file does not hold."""
    with closing(Candidate(path=path, extent=EXTENT)) as candidate:
        # those that listen find most, and soon
        yield from (check for check in outcomes(candidate, first=LISTENING) if not check.passed)


def plant(voice: Path, name: str, folder: Path) -> Path:
    """Write a copy of a voice with a fault into a folder and return it."""
    editor = GraphEditor(voice)
    FAULTS[name](editor)
    return editor.save(folder / name / voice.name)


def count_faults(voice: Path, names: Sequence[str], most_rules: int | None = 1) -> int:
    """Print for each fault whether it is found, and the first rules that find it; return how many are not."""
    missed = 0
    for number, name in enumerate(names, start=1):
        with tempfile.TemporaryDirectory() as folder:
            found = list(islice(failures(plant(voice, name, Path(folder))), most_rules))
        missed += not found
        rules = ", ".join(check.name for check in found[:MOST_SHOWN]) + ", ..." * (len(found) > MOST_SHOWN)
        emit(f"{'caught' if found else 'MISSED'}  {name}: {rules or 'every rule holds'}  ({number - missed}/{number})")
    emit(f"{len(names) - missed} of {len(names)} planted faults caught")
    return missed


def count_alarms(folder: Path) -> int:
    """Print for each voice below a folder the rules that refuse it; return how many voices are refused.

    Raises:
        ConfigError: if there is none.
    """
    voices = sorted(folder.rglob("*.onnx"))
    if not voices:
        raise ConfigError(f"--sound={folder} holds no .onnx file; give a folder of exported voices")
    alarms = 0
    for voice in voices:
        found = list(failures(voice))
        alarms += bool(found)
        words = "; ".join(f"{check.name}: {check.detail[:160]}" for check in found[:MOST_SHOWN])
        emit(f"{'ALARM' if found else 'sound'}  {voice.relative_to(folder)}{f': {words}' if words else ''}")
    emit(f"{alarms} false alarms on {len(voices)} sound voices")
    return alarms


def _arguments() -> argparse.Namespace:
    parser = BenchmarkParser("planted_faults", __doc__)
    parser.add_argument("voice", type=Path, nargs="?", help="a good voice")
    parser.add_argument("--faults", nargs="+", choices=sorted(FAULTS), metavar="NAME", help="only these")
    parser.add_argument("--all-rules", action="store_true", help="try all rules, not only until the first finds it")
    parser.add_argument("--list", action="store_true", help="print the names of the faults")
    parser.add_argument("--sound", type=Path, help="folder of sound voices: count false alarms instead")
    options = parser.parse_args()
    if not (options.list or options.sound or options.voice):
        parser.error("give a voice, --sound=<folder> or --list")
    return options


def _work() -> int:
    options = _arguments()
    if options.list:
        emit("\n".join(FAULTS))
        return 0
    if options.sound is not None:
        return int(count_alarms(options.sound) > 0)
    if not options.voice.is_file():
        raise ConfigError(f"{options.voice} does not exist; give an exported voice")
    most_rules = None if options.all_rules else 1
    return int(count_faults(options.voice, options.faults or list(FAULTS), most_rules) > 0)


def main() -> int:
    """Run the program and return its exit code."""
    return run_program("planted_faults", _work)


if __name__ == "__main__":
    sys.exit(main())
