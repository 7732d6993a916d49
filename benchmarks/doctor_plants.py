"""Faults of recordings, planted into good ones: what benchmarks/doctor.py looks for."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from utils.audio.io import load_audio, resample
from utils.audio.surroundings import put_into_room

SNR_DB = 10.0
CLIPPED_SHARE = 0.01
ROOM_SECONDS = 0.8
OFFSET = 0.02
HUM = {50: 0.01, 100: 0.004, 150: 0.003}  # Hz -> amplitude
BABBLE_SPEAKERS = 8
Plant = Callable[[np.ndarray, int, np.random.Generator, Sequence[Path]], np.ndarray]


def white_noise(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """White noise 10 dB below the whole recording."""
    return _mixed(audio, rng.standard_normal(len(audio)))


def babble(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """Eight strangers talking at once, 10 dB below."""
    chosen = rng.choice(len(strangers), BABBLE_SPEAKERS, replace=False)
    voices = [load_audio(strangers[index], rate) for index in chosen]
    return _mixed(audio, np.sum([_looped(voice / _level(voice), len(audio), rng) for voice in voices], axis=0))


def music(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """Chords and a beat, 10 dB below."""
    sound, beat = np.zeros(len(audio)), 60 / rng.uniform(80, 140) * rng.integers(1, 3)
    time = np.arange(round(beat * rate)) / rate
    for start in range(0, len(audio), len(time)):
        root = 110 * 2 ** (rng.integers(0, 12) / 12)
        chord = np.zeros(len(time))
        for step in (0, int(rng.integers(3, 5)), 7, 12):
            partials = [(root * 2 ** (step / 12) * number, number) for number in range(1, 7)]
            chord += np.sum([np.sin(2 * np.pi * hertz * time) / number for hertz, number in partials], axis=0)
        chord *= np.exp(-time * rng.uniform(0.3, 2.0)) * np.minimum(1, time / 0.02)
        chord += rng.standard_normal(len(time)) * np.exp(-time * 40) * 1.5
        sound[start : start + len(time)] += chord[: len(audio) - start]
    return _mixed(audio, sound)


def clipping(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """One sample in a hundred beyond full scale."""
    limit = np.quantile(np.abs(audio), 1 - CLIPPED_SHARE)
    return np.clip(audio / limit, -1, 1)


def upsampled_8k(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """Recorded at 8 kHz."""
    return resample(resample(audio, rate, 8000), 8000, rate)


def upsampled_16k(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """Recorded at 16 kHz."""
    return resample(resample(audio, rate, 16000), 16000, rate)


def room(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """A room of 0.8 s."""
    return put_into_room(audio, ROOM_SECONDS, rate, rng)


def hum(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """Mains hum, -40 dB of full scale."""
    time = np.arange(len(audio)) / rate
    return audio + np.sum([level * np.sin(2 * np.pi * hertz * time) for hertz, level in HUM.items()], axis=0)


def offset(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """A constant of 2 % of full scale."""
    return audio + OFFSET


def other_speaker(audio: np.ndarray, rate: int, rng: np.random.Generator, strangers: Sequence[Path]) -> np.ndarray:
    """Another speaker's recording."""
    return load_audio(strangers[int(rng.integers(len(strangers)))], rate)


# plant -> the rule that must find it
PLANTS: dict[Plant, str] = {
    white_noise: "noise",
    babble: "noise",
    music: "music",
    clipping: "clipping",
    upsampled_8k: "bandwidth",
    upsampled_16k: "bandwidth",
    room: "room",
    hum: "hum",
    offset: "offset",
    other_speaker: "speaker",
}


def planted(plant: Plant, audio: np.ndarray, rate: int, seed: int, strangers: Sequence[Path]) -> np.ndarray:
    """Return audio [T] with a fault, in 16 bits as a file has it."""
    sound = plant(audio, rate, np.random.default_rng(seed), strangers)
    return (np.clip(np.rint(sound * 32767), -32768, 32767) / 32767).astype(np.float32)


def _level(audio: np.ndarray) -> float:
    return max(float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))), 1e-9)


def _mixed(audio: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return audio + noise * (_level(audio) / _level(noise) * 10 ** (-SNR_DB / 20))


def _looped(audio: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    long = np.tile(audio, 1 + length // len(audio))
    start = int(rng.integers(len(long) - length + 1))
    return long[start : start + length]
