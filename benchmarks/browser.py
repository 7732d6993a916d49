"""A voice in Chromium beside onnxruntime: equality, real-time factor, and a minute of live conversion.

VOCLO_BROWSER_PYTHON=<a Python with playwright> python -m benchmarks.browser exports/<voice>/<file>.onnx speech.wav
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from benchmarks.options import BenchmarkParser, write_figures
from scripts.pipeline import ROOT
from utils.command_line import run_program
from utils.console import emit
from utils.inference import VoiceSession

PYTHON = os.environ.get("VOCLO_BROWSER_PYTHON", sys.executable)


def browser_figures(session: VoiceSession, audio: np.ndarray, live_seconds: float) -> dict[str, Any]:
    """Return what the page says and how far its audio is from that of a session, for [T] float32."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        soundfile.write(folder / "speech.wav", audio, session.sample_rate, subtype="PCM_16")
        given, _ = soundfile.read(folder / "speech.wav", dtype="float32")
        (folder / "wrong.onnx").write_bytes(b"no voice at all")
        plan = {key: str(folder / f"{file}") for key, file in (("sound", "speech.wav"), ("wrong", "wrong.onnx"))}
        plan |= {"voice": str(session.path.resolve()), "folder": name}
        (folder / "plan.json").write_text(json.dumps({**plan, "live_seconds": live_seconds}), encoding="utf-8")
        command = [PYTHON, "-m", "tests.tools.voice_page_driver", str(folder / "plan.json")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        seen: dict[str, Any] = json.loads(done.stdout)
        made, _ = soundfile.read(folder / "plain.wav", dtype="float32")
    started = time.perf_counter()
    expected = np.clip(session.run(given), -1, 1)
    seen["native_factor"] = (time.perf_counter() - started) / (len(audio) / session.sample_rate)
    seen["largest_difference"] = float(np.abs(made - expected).max())
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("browser", __doc__)
    parser.add_argument("voice", type=Path, help="exported graph for recordings")
    parser.add_argument("audio", type=Path, help="speech, at most 20 s of it are used")
    parser.add_argument("--live-seconds", type=float, default=60.0, help="how long the microphone is on")
    parser.add_json()
    options = parser.parse_args(arguments)
    return run_program("browser", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Print the table; return the exit code."""
    session = VoiceSession.open(options.voice)
    samples, rate = soundfile.read(options.audio, dtype="float32", always_2d=True)
    audio = soxr.resample(samples.mean(axis=1), rate, session.sample_rate, quality="HQ")[: 20 * session.sample_rate]
    seen = browser_figures(session, audio.astype(np.float32), options.live_seconds)
    live = seen["live"]
    rows = {
        "browser": seen["browser"],
        "one minute of load": f"{os.getloadavg()[0]:.1f}",
        "largest difference from onnxruntime": f"{seen['largest_difference']:.1e}",
        "real-time factor in the browser, a recording": f"{seen['file_factor']:.3f}",
        "real-time factor of onnxruntime, one thread": f"{seen['native_factor']:.3f}",
        "live": live["said"],
    }
    rows |= {name: f"{live[name]:g}" for name in ("blocks", "late", "dropped", "slowest") if name in live}
    emit("| what | figure |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows.items()))
    write_figures(options, "browser", seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
