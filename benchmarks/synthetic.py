"""Sound that behaves like speech (voiced, noisy and silent parts, a moving pitch and formants), made from numbers."""

from pathlib import Path

import numpy as np
import soundfile

SYLLABLE_SECONDS = 0.22
FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))


def speech_like(seconds: float, *, f0_hz: float, sample_rate: int, seed: int) -> np.ndarray:
    """Return babble: vowels with a gliding pitch, hisses and pauses.

    Args:
        seconds: duration.
        f0_hz: median pitch; it moves within a third.
        sample_rate: samples per second.
        seed: the same seed gives the same sound.
    Returns:
        [T] float32, peak about 0.3.
    """
    rng = np.random.default_rng(seed)
    count = round(seconds * sample_rate)
    length = round(SYLLABLE_SECONDS * sample_rate)
    melody = f0_hz * 2 ** (np.cumsum(rng.normal(0, 0.06, count // length + 3)) / 3)
    pitch = np.interp(np.arange(count), np.arange(len(melody)) * length, np.clip(melody, f0_hz * 0.8, f0_hz * 1.25))
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    audio = np.zeros(count)
    for start in range(0, count, length):
        part = slice(start, min(start + length, count))
        envelope = np.sin(np.pi * (np.arange(part.stop - start) + 0.5) / length) ** 0.5
        kind = rng.random()
        if kind < 0.7:
            audio[part] = _vowel(phase[part], pitch[part], FORMANTS_HZ[rng.integers(len(FORMANTS_HZ))]) * envelope
        elif kind < 0.88:
            audio[part] = 0.15 * np.diff(rng.standard_normal(part.stop - start + 1)) * envelope
    return (0.3 * audio / max(float(np.abs(audio).max()), 1e-9)).astype(np.float32)


def write_recordings(folder: Path, *, num_files: int, seconds: float, f0_hz: float, sample_rate: int) -> None:
    """Write `num_files` recordings of one synthetic speaker, named by number."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(num_files):
        audio = speech_like(seconds, f0_hz=f0_hz, sample_rate=sample_rate, seed=index + round(f0_hz) * 1000)
        soundfile.write(folder / f"{folder.name}_{index:02d}.wav", audio, sample_rate, subtype="PCM_16")


def _vowel(phase: np.ndarray, pitch: np.ndarray, formants: tuple[int, ...]) -> np.ndarray:
    """Return harmonics [T] whose levels follow resonances of 120 Hz width."""
    audio = np.zeros(len(phase))
    for harmonic in range(1, int(4000 / pitch.mean())):
        frequency = harmonic * pitch.mean()
        level = sum(
            1 / (1 + ((frequency - formant) / 120) ** 2) / rank for rank, formant in enumerate(formants, start=1)
        )
        audio += (level + 0.02) / harmonic**0.5 * np.sin(harmonic * phase)
    return audio
