"""What it costs to store a voice's weights in fewer bits: size, speed, difference from fp32, similarity, CER.

    python -m benchmarks.precision --run runs/<run> [--dataset FOLDER] [--sources FOLDER] [--target FOLDER]

Exports the run in every precision with the real script.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.comparison import COLUMNS, column_cells, evaluate_variants, evaluators_of
from benchmarks.options import BenchmarkParser, check_recordings, work_folder, write_figures
from benchmarks.sources import pick_sources
from benchmarks.timing import take_turns
from scripts.pipeline import only_file, run_script
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.command_line import run_program
from utils.console import emit, table
from utils.export.precision import PRECISIONS
from utils.inference.pipeline import convert
from utils.inference.session import VoiceSession
from utils.verification.measures import relative_db

WHOLE_SECONDS, BLOCK_SECONDS = 10.0, 0.1
WHOLE_REPEATS, BLOCK_REPEATS = 5, 100
HEADERS = ["weights", "MB", "RTF 10 s", "100 ms (ms)", "from fp32 (dB)", "row in a batch (dB)", *COLUMNS.values()]


def export_all(options: argparse.Namespace, work: Path) -> dict[str, Path]:
    """Export the run in every precision; returns the graphs."""
    graphs: dict[str, Path] = {}
    for precision in PRECISIONS:
        command = ["export_onnx.py", f"run={options.run.resolve()}", f"name=voice_{precision}",
                   f"export.precision={precision}", "export.verify_minutes=0.1", "export.verify_blocks=20",
                   "retrieval=flat", "retrieval.max_vectors=1000"]  # fmt: skip
        command += [f"dataset={options.dataset.resolve()}"] if options.dataset else []
        if not list((work / "exports" / f"voice_{precision}").glob("*.onnx")):
            run_script(command, work)
        graphs[precision] = only_file(work / "exports" / f"voice_{precision}", "*.onnx")
    return graphs


def measure_speed(sessions: Mapping[str, VoiceSession], audio: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return (real-time factor of 10 s, milliseconds of a 100 ms block), medians, the variants taking turns."""
    rate = next(iter(sessions.values())).sample_rate
    whole, block = np.resize(audio, round(WHOLE_SECONDS * rate)), audio[rate : rate + round(BLOCK_SECONDS * rate)]
    wholes, blocks = (
        take_turns({name: partial(session.run, part) for name, session in sessions.items()}, repeats)
        for part, repeats in ((whole, WHOLE_REPEATS), (block, BLOCK_REPEATS))
    )
    return {
        name: (float(np.median(wholes[name])) / WHOLE_SECONDS, 1000 * float(np.median(blocks[name])))
        for name in sessions
    }


def batch_db(session: VoiceSession, audio: np.ndarray) -> float:
    """Return how much a row changes when it is converted beside a much louder one, in dB of its level."""
    count = 2 * session.sample_rate
    quiet = 0.1 * audio[:count]
    beside = session.run(np.stack([quiet, 9 * quiet]))
    return relative_db(beside[:1], session.run(quiet)[None])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("precision", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Export and compare all precisions, print the table; return the exit code."""
    check_recordings(options)
    work = work_folder(options)
    graphs = export_all(options, work)
    sessions = {name: VoiceSession.open(path) for name, path in graphs.items()}
    rate = sessions["fp32"].sample_rate
    sources = [path for _, path in pick_sources(options.sources, options.source_count)]
    audio = [load_audio(path, rate) for path in sources]
    speed = measure_speed(sessions, audio[0])
    expected = [sessions["fp32"].run(item) for item in audio]
    means = evaluate_variants(
        {name: partial(convert, session) for name, session in sessions.items()},
        rate, sources, list_audio(options.target), evaluators_of(options), work / "converted",
    )  # fmt: skip
    rows: list[list[object]] = []
    results: dict[str, dict[str, object]] = {}
    for name, session in sessions.items():
        parity = max(
            relative_db(session.run(item)[None], wanted[None]) for item, wanted in zip(audio, expected, strict=True)
        )
        factor, block = speed[name]
        size, alone = graphs[name].stat().st_size / 1e6, batch_db(session, audio[0])
        difference = "-" if name == "fp32" else f"{parity:.1f}"
        own = [name, f"{size:.1f}", f"{factor:.4f}", f"{block:.2f}", difference, f"{alone:.0f}"]
        rows.append([*own, *column_cells(means[name])])
        results[name] = {"megabytes": size, "real_time_factor": factor, "block_milliseconds": block,
                         "difference_db": parity, "batch_db": alone, "evaluators": means[name]}  # fmt: skip
    emit(table(rows, HEADERS))
    write_figures(options, "precision", results)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("precision", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder that train.py made")
    parser.add_argument("--dataset", type=Path, help="its dataset, when it is no longer where the run found it")
    parser.add_target()
    parser.add_sources(10)
    parser.add_evaluators(("resemblyzer", "ecapa", "whisper"))
    parser.add_work()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
