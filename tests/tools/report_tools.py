"""What a page needs, made up: a run's folder, a card, an evaluation, recordings that differ by their pitch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
from utils.training.evaluation_folder import EvaluationFolder, JudgedState
from utils.training.forecast import Forecast
from utils.training.listening import HeardSound, ListeningFolder

RATE = 24000
CONFIG: dict[str, Any] = {
    "dataset": {"name": "alice", "root": "datasets"},
    "audio": {"sample_rate": RATE},
    "model": {"_target_": "models.lite.LiteVoice"},
    "discriminator": {"_target_": "models.discriminators.MultiResolutionDiscriminator"},
    "loss": {"adversarial_start": 0, "objective": "balanced"},
    "overtraining": {"mode": "stop", "smooth": 3, "patience": 1000, "min_improvement": 0.01, "plateau_patience": None},
    "trainer": {"steps": 20000, "precision": "auto"},
    "seed": 1234,
}


def falling(count: int, every: int = 500) -> list[tuple[int, float]]:
    """Return a criterion that falls all the way."""
    return [(every * (index + 1), 0.4 + 0.2 * 0.8**index) for index in range(count)]


def rising_again(count: int, every: int = 500) -> list[tuple[int, float]]:
    """Return a criterion that falls in the first third, then rises by far more than noise."""
    lowest = count // 3
    return [(every * (index + 1), 0.4 + 0.02 * abs(index - lowest)) for index in range(count)]


def write_run(folder: Path, criterion: list[tuple[int, float]], *, num_states: int = 0, seconds: float = 1.0) -> Path:
    """Write the folder of a run that was never trained.

    Args:
        folder: of the run.
        criterion: (step, value) of each validation.
        num_states: of two clips to listen to, at the steps of the first validations.
        seconds: length of these clips.
    """
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    rows = ["step,train/generator/total,val/mel,val/f0_error_cents"]
    rows += [f"{step},{10 * value},{value},{100 * value}" for step, value in criterion]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    listening = ListeningFolder(folder)
    for clip in range(2 if num_states else 0):
        recorded = speech(seconds, 120 + 40 * clip)
        sounds = [HeardSound("target", None, recorded, RATE)]
        sounds += [
            HeardSound("converted", step, recorded * (0.5 + 0.02 * index), RATE)
            for index, (step, _) in enumerate(criterion[:num_states])
        ]
        listening.add(f"held_out_{clip}", f"Held-out clip {clip + 1}", "held_out", sounds)
    return folder


def add_judged(run: Path, scores: dict[int, float]) -> None:
    """Add to a run that write_run made states judged at its validations, a stranger to listen to, and a forecast."""
    lines = (run / "metrics.csv").read_text("utf-8").splitlines()
    added = ["evaluation/score,evaluation/f0_correlation,evaluation/held_out_f0_correlation"]
    for line in lines[1:]:
        score = scores.get(int(line.partition(",")[0]))
        added.append(",," if score is None else f"{score},{score},0.95")
    rows = [f"{line},{more}" for line, more in zip(lines, added, strict=True)]
    (run / "metrics.csv").write_text("\n".join(rows) + "\n", "utf-8")
    for step, score in scores.items():
        EvaluationFolder(run).accept(JudgedState(step, {"score": score}, "m", score))
    sounds = [HeardSound("source", None, speech(0.5, 110.0), RATE)]
    sounds += [HeardSound("converted", step, speech(0.5, 200.0), RATE) for step in scores]
    ListeningFolder(run).add("stranger_0", "Stranger 1", "stranger", sounds)
    Forecast(50, 0.5, 600.0, "trainer.steps=350", None, None, None, None, 2**30, 2**31, "this machine").write(run)


def speech(seconds: float, f0_hz: float) -> np.ndarray:
    """Return speech-like sound [T] at RATE."""
    return voice(seconds, RATE, f0_hz=f0_hz)


def write_card(folder: Path, outcomes: tuple[str, ...] = ("PASS", "WARN", "PASS")) -> Path:
    """Write an export's card with some outcomes of its verification."""
    folder.mkdir(parents=True)
    checks = [{"name": f"rule {index}", "detail": "<b>what was found</b>", "passed": word != "FAIL", "outcome": word}
              for index, word in enumerate(outcomes)]  # fmt: skip
    card = {
        "voice": {"name": "alice", "step": 500, "speakers": [{"name": "alice"}], "defaults": {"pitch_shift": 0.0}},
        "rates": [RATE],
        "files": [{"name": "alice.onnx", "bytes": 1_000_000}],
        "verification": {"alice.onnx": checks},
        "tools": {"torch": "2.11.0"},
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def write_conversions(folder: Path, count: int = 2) -> tuple[Path, Path, Path]:
    """Write folders of sources, converted files and recordings of the target; returns the three."""
    folders = tuple(folder / name for name in ("sources", "converted", "target"))
    for index in range(count):
        for path, f0_hz in zip(folders, (110.0, 200.0, 205.0), strict=True):
            save_audio(path / f"{index}.wav", speech(1.5, f0_hz + 5 * index), RATE)
    return folders[0], folders[1], folders[2]
