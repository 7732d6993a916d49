"""Sound for trials that trackers and encoders take for a voice: harmonics under moving formants, in syllables."""

from pathlib import Path

import numpy as np

from utils.audio.io import save_audio

# first three formants in Hz of /a e i o u/, Peterson and Barney 1952 (men, rounded)
VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))
SYLLABLE_SECONDS = 0.2


def voice(
    seconds: float, sample_rate: int = 16000, *, f0_hz: float = 140.0, seed: int = 0, formant_scale: float = 1.0
) -> np.ndarray:
    """Return [T] float32 with a peak of about 0.3: vowels at random, pitch gliding around f0_hz."""
    rng = np.random.default_rng(seed)
    count = round(seconds * sample_rate)
    time = np.arange(count) / sample_rate
    syllable = (time / SYLLABLE_SECONDS).astype(int)
    vowels = np.array(VOWELS, dtype=float)[rng.integers(len(VOWELS), size=syllable.max(initial=0) + 1)] * formant_scale
    glide = 1 + 0.15 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6)) + 0.01 * np.sin(2 * np.pi * 5 * time)
    phase = 2 * np.pi * np.cumsum(f0_hz * glide) / sample_rate
    sound = np.zeros(count)
    for harmonic in range(1, int(0.4 * sample_rate / (f0_hz * 1.3)) + 1):
        frequency = harmonic * f0_hz * glide
        gain = sum(1 / (1 + ((frequency - vowels[syllable, k]) / 90.0) ** 2) for k in range(3))
        sound += gain / harmonic**0.5 * np.sin(harmonic * phase)
    envelope = 0.25 + 0.75 * np.sin(np.pi * ((time / SYLLABLE_SECONDS) % 1)) ** 2
    sound = sound * envelope + 1e-4 * rng.standard_normal(count)
    return (0.3 * sound / max(1e-9, np.abs(sound).max(initial=0))).astype(np.float32)


def silence(seconds: float, sample_rate: int = 16000) -> np.ndarray:
    """Return [T] float32 zeros."""
    return np.zeros(round(seconds * sample_rate), np.float32)


def write_recordings(folder: Path, *, num_files: int, seconds: float, f0_hz: float, sample_rate: int) -> None:
    """Write recordings of one synthetic speaker, `<folder>_<number>.wav`."""
    for index in range(num_files):
        audio = voice(seconds, sample_rate, f0_hz=f0_hz, seed=index)
        save_audio(folder / f"{folder.name}_{index:02d}.wav", audio, sample_rate)
