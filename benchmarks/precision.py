"""What it costs to store a voice's weights in fewer bits: size, speed, difference from fp32, similarity, CER.

    python -m benchmarks.precision --run runs/<run> [--dataset FOLDER] [--sources FOLDER] [--target FOLDER]

Exports the run in every precision with the real script.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.options import count, new_file
from benchmarks.variants import FIGURES, figure_cells, judge_variants, missing_lines
from benchmarks.voice_quality import CORPORA, pick_sources
from scripts.pipeline import ROOT, only_file, run_script
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.console import emit, table
from utils.errors import WorkbenchError
from utils.evaluation.evaluators import load_evaluators
from utils.export.precision import PRECISIONS
from utils.files import atomic_write_json
from utils.inference.pipeline import convert
from utils.inference.session import VoiceSession
from utils.verification.measures import relative_db

WHOLE_SECONDS, BLOCK_SECONDS = 10.0, 0.1
WHOLE_REPEATS, BLOCK_REPEATS = 5, 100


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


def measure_speed(sessions: dict[str, VoiceSession], audio: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return (real-time factor of 10 s, milliseconds of a 100 ms block), medians, the variants taking turns."""
    rate = next(iter(sessions.values())).sample_rate
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in sessions}
    pieces = (np.resize(audio, round(WHOLE_SECONDS * rate)), audio[rate : rate + round(BLOCK_SECONDS * rate)])
    for place, (piece, repeats) in enumerate(zip(pieces, (WHOLE_REPEATS, BLOCK_REPEATS), strict=True)):
        for session in sessions.values():
            session.run(piece)
        for _ in range(repeats):
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run(piece)
                seconds[name][place].append(time.perf_counter() - started)
    return {
        name: (float(np.median(whole)) / WHOLE_SECONDS, 1000 * float(np.median(block)))
        for name, (whole, block) in seconds.items()
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
    logging.basicConfig(level=logging.INFO, format="precision: %(message)s")
    try:
        work = options.work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        graphs = export_all(options, work)
        sessions = {name: VoiceSession.open(path) for name, path in graphs.items()}
        rate = sessions["fp32"].sample_rate
        sources = [path for _, path in pick_sources(options.sources, options.source_count)]
        audio = [load_audio(path, rate) for path in sources]
        speed = measure_speed(sessions, audio[0])
        expected = [sessions["fp32"].run(item) for item in audio]
        judges = load_evaluators(tuple(name for name in options.judges.split(",") if name))
        judged = judge_variants(
            {name: partial(convert, session) for name, session in sessions.items()},
            rate, sources, list_audio(options.target), judges, work / "converted",
        )  # fmt: skip
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
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
        rows.append([*own, *figure_cells(judged[name])])
        results[name] = {"megabytes": size, "real_time_factor": factor, "block_milliseconds": block,
                         "difference_db": parity, "batch_db": alone, "judges": judged[name]}  # fmt: skip
    emit(table(rows, ["weights", "MB", "RTF 10 s", "100 ms (ms)", "from fp32 (dB)", "row in a batch (dB)",
                      *FIGURES.values()]))  # fmt: skip
    for line in missing_lines(judges):
        emit(line)
    atomic_write_json(options.json or work / "precision.json", results)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder that train.py made")
    parser.add_argument("--dataset", type=Path, help="its dataset, when it is no longer where the run found it")
    parser.add_argument("--sources", type=Path, default=CORPORA / "librispeech", help="recordings of other speakers")
    parser.add_argument("--source-count", type=count, default=10, help="how many of them to convert")
    parser.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of the run's voice")
    parser.add_argument("--judges", default="resemblyzer,ecapa,whisper", help="empty for none")
    parser.add_argument("--work", type=Path, default=ROOT / "reports" / "precision", help="folder for all that is made")
    parser.add_argument("--json", type=new_file, help="write all figures here (default: precision.json in --work)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
