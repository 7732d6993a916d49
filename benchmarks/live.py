"""A live conversion on real virtual sound devices: late blocks, times of blocks, latency from end to end.

    python -m benchmarks.live <voice>.onnx [key=value ...] [--seconds 60] [--block-ms 100]

Needs sounddevice and PulseAudio (Debian: apt install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2).
Starts a sound server of its own with two null sinks: what is played into the first is the microphone of live.py, whose
loudspeaker is the second. Both are recorded. The latency is the shift at which their envelopes agree best. A program
that does nothing but sleep says for how long the machine stood still meanwhile.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.options import BenchmarkParser, write_figures
from scripts.pipeline import ROOT
from utils.audio.synthetic_speech import voice
from utils.command_line import positive_number, run_program
from utils.console import emit, table
from utils.errors import WorkbenchError

PROGRAMS = ("pulseaudio", "pactl", "pacat", "parec")
RATE = 24000  # of what is played and recorded
ENVELOPE_RATE = 1000
MOST_DELAY_SECONDS = 2.0
SLEEPER = """
import sys, time
last, longest = time.monotonic(), 0.0
end = last + float(sys.argv[1])
while last < end:
    time.sleep(0.005)
    now = time.monotonic()
    longest, last = max(longest, now - last - 0.005), now
print(1000 * longest)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("live", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Run live.py between two virtual devices and print what it took; return the exit code."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        raise WorkbenchError(f"{', '.join(absent)} not found; Debian: apt install pulseaudio pulseaudio-utils")
    with tempfile.TemporaryDirectory(prefix="live_") as folder:
        figures = converse(options, Path(folder))
    rows = [[name, f"{value:.4g}"] for name, value in figures.items()]
    emit(table(rows, ["figure", "value"]))
    write_figures(options, "live", figures)
    return 0


def converse(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Return the figures of live.py and the measured latency."""
    environment = os.environ | {
        "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder / "pulse"), "HOME": str(folder),
    }  # fmt: skip
    sinks = [f"--load=module-null-sink sink_name={name} rate=48000" for name in ("speech", "converted")]
    server = subprocess.Popen(
        ["pulseaudio", "-n", "--exit-idle-time=-1", "--load=module-native-protocol-unix", *sinks],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(environment)
        return _figures(options, folder, environment)
    finally:
        server.terminate()
        server.wait()


def _wait_for(environment: dict[str, str]) -> None:
    for _ in range(50):
        if subprocess.run(["pactl", "info"], env=environment, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.2)
    raise WorkbenchError("the sound server did not start within 10 s")


def _figures(options: argparse.Namespace, folder: Path, environment: dict[str, str]) -> dict[str, float]:
    seconds = options.seconds
    spoken = _sentences(seconds)
    (folder / "spoken.raw").write_bytes((spoken * 32767).astype("<i2").tobytes())
    form = ["--raw", "--format=s16le", f"--rate={RATE}", "--channels=1", "--latency-msec=10"]
    live = subprocess.Popen(
        [
            sys.executable, str(ROOT / "live.py"), f"voice={options.voice}", "input=pulse", "output=pulse",
            f"seconds={seconds + 6}", f"block_ms={options.block_ms}", f"report={folder / 'live.json'}",
            f"bypass={str(options.bypass).lower()}", *options.keys,
        ],
        env=environment | {"PULSE_SOURCE": "speech.monitor", "PULSE_SINK": "converted"}, cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    sleeper = subprocess.Popen([sys.executable, "-c", SLEEPER, str(seconds)], stdout=subprocess.PIPE)
    time.sleep(4)  # the voice is loaded
    # one recording of both sides by two programs that start together; what they start apart is below 20 ms
    with (folder / "heard.raw").open("wb") as heard, (folder / "made.raw").open("wb") as made:
        recorders = [
            subprocess.Popen(["parec", *form, f"--device={sink}.monitor"], env=environment, stdout=place)
            for sink, place in (("speech", heard), ("converted", made))
        ]
        subprocess.run(
            ["pacat", "--playback", *form, "--device=speech", str(folder / "spoken.raw")], env=environment, check=True
        )
        live.wait()
        for recorder in recorders:
            recorder.terminate()
            recorder.wait()
    longest, _ = sleeper.communicate()
    if live.returncode != 0:
        raise WorkbenchError(f"live.py ended with code {live.returncode}")
    sides = [np.frombuffer((folder / name).read_bytes(), "<i2") / 32768 for name in ("heard.raw", "made.raw")]
    delay, agreement = envelope_delay(sides[0], sides[1])
    stated = json.loads((folder / "live.json").read_text(encoding="utf-8"))
    stood_still = {"longest_pause_of_the_machine_ms": float(longest)}
    return {**stated, "measured_latency_ms": 1000 * delay, "agreement": agreement, **stood_still}


def _sentences(seconds: float) -> np.ndarray:
    """Return [T] at RATE: synthetic speech with pauses."""
    rng = np.random.default_rng(5)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        parts += [voice(rng.uniform(0.6, 1.6), RATE, seed=len(parts)), np.zeros(round(rng.uniform(0.2, 0.7) * RATE))]
    return np.concatenate(parts)[: round(seconds * RATE)]


def envelope_delay(heard: np.ndarray, made: np.ndarray) -> tuple[float, float]:
    """Return by how many seconds the envelope of a sound is late against another, and how well they agree there.

    Args:
        heard: [T] at RATE.
        made: [T'] at RATE.
    """
    step = RATE // ENVELOPE_RATE
    length = min(len(heard), len(made)) // step
    envelopes = [np.sqrt((part[: length * step].reshape(length, step) ** 2).mean(1)) for part in (heard, made)]
    first, second = (np.convolve(part, np.ones(20) / 20, "same") for part in envelopes)
    most = round(MOST_DELAY_SECONDS * ENVELOPE_RATE)
    scores = [np.corrcoef(first[: length - shift], second[shift:])[0, 1] for shift in range(most)]
    best = int(np.argmax(scores))
    return best / ENVELOPE_RATE, float(scores[best])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("live", __doc__)
    parser.add_argument("voice", type=Path, help="an exported voice")
    parser.add_argument("--seconds", type=positive_number, default=60.0, help="of speech")
    parser.add_argument("--block-ms", type=positive_number, default=100.0)
    parser.add_argument("--bypass", action="store_true", help="hear the own voice, as late as the converted one")
    parser.add_argument("keys", nargs="*", metavar="key=value", help="further settings of live.py, such as slack_ms=80")
    parser.add_json()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
