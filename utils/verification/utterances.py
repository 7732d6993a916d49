"""Speech for the rules that listen: of every moment it is known what is said, at which pitch and how loud.

Harmonics under the formants of the phones (Peterson and Barney 1952, Klatt 1980, rounded), noise in the bands of the
fricatives, closures, bursts, pauses with the noise of a quiet room.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import soxr

FRAMES_PER_SECOND = 100
VOICED_RATE = 16000  # harmonics end below 6 kHz
HIGHEST_HARMONIC_HZ = 5800.0
BANDWIDTHS = (80.0, 100.0, 140.0, 220.0)
GLIDE_FRAMES = 5  # of formants and levels from one phone to the next
SPEECH_DB = -23.0  # RMS where it speaks
ROOM_DB = -66.0


class Phone(NamedTuple):
    """Formants in Hz, seconds, gains of voice and noise, and the band of the noise as shares of 8 kHz."""

    formants: tuple[float, float, float]
    seconds: float
    voice: float = 0.0
    noise: float = 0.0
    band: tuple[float, float] = (0.0, 1.0)


PHONES = {
    "a": Phone((730, 1090, 2440), 0.15, 1.0),
    "e": Phone((530, 1840, 2480), 0.13, 0.9),
    "i": Phone((280, 2250, 3000), 0.13, 0.7),
    "o": Phone((570, 840, 2410), 0.15, 0.9),
    "u": Phone((310, 870, 2250), 0.13, 0.7),
    "@": Phone((500, 1500, 2500), 0.08, 0.6),
    "m": Phone((270, 1000, 2200), 0.08, 0.35),
    "l": Phone((360, 1300, 2700), 0.07, 0.5),
    "s": Phone((400, 1700, 2600), 0.12, 0.0, 0.35, (0.55, 1.6)),
    "S": Phone((400, 1800, 2500), 0.12, 0.0, 0.4, (0.28, 0.9)),
    "f": Phone((350, 1100, 2300), 0.1, 0.0, 0.12, (0.15, 1.6)),
    "k": Phone((400, 1800, 2300), 0.03, 0.0, 0.4, (0.18, 0.5)),
    "t": Phone((400, 1700, 2600), 0.03, 0.0, 0.4, (0.4, 1.2)),
    "-": Phone((500, 1500, 2500), 0.06),
    "_": Phone((500, 1500, 2500), 0.4),
}
SENTENCES = ("_sa-taSi@melo-kufa@mi_", "_o-tiSe-kalus@fomi-tae_", "_Su-komasi-t@lefa-kemo_")
MELODIES = ((118.0, 0.4, 0.55, 0.0), (196.0, 0.35, 0.8, 1.6), (150.0, 0.45, 0.65, 3.0))  # Hz, octaves, per second, turn


@dataclass(frozen=True)
class Utterance:
    """Speech and what is known of it.

    Attributes:
        samples: [T] float32.
        sample_rate: of the samples.
        f0_hz: [F] of frames of 10 ms; 0 where nothing is voiced.
        is_noisy: [F] whether there is noise of the mouth and no voice.
        is_pause: [F] whether nobody speaks, nor did for the last 100 ms, nor will for the next 50.
    """

    samples: np.ndarray
    sample_rate: int
    f0_hz: np.ndarray
    is_noisy: np.ndarray
    is_pause: np.ndarray

    def at(self, speech_db: float) -> np.ndarray:
        """Return [T] at another level of the speech, its room included."""
        louder: np.ndarray = (self.samples * 10 ** ((speech_db - SPEECH_DB) / 20)).astype(np.float32)
        return louder


@lru_cache(maxsize=8)
def utterance(sample_rate: int, number: int = 0, num_sentences: int = 2, octaves: float = 0.0) -> Utterance:
    """Return sentences at a rate; equal numbers give equal speech, and fewer sentences the beginning of it.

    Args:
        sample_rate: of the samples.
        number: of the first sentence.
        num_sentences: how many.
        octaves: by which the speaker is higher.
    """
    numbers = [(number + place) % len(SENTENCES) for place in range(num_sentences)]
    parts = [_sentence(place, sample_rate, octaves) for place in numbers]
    samples = np.concatenate([part.samples for part in parts])
    noise = np.random.default_rng(99).standard_normal(len(samples))
    samples = samples + 10 ** (ROOM_DB / 20) * noise
    facts = (np.concatenate([getattr(part, name) for part in parts]) for name in ("f0_hz", "is_noisy", "is_pause"))
    return Utterance(samples.astype(np.float32), sample_rate, *facts)


@lru_cache(maxsize=2 * len(SENTENCES))
def _sentence(number: int, sample_rate: int, octaves: float) -> Utterance:
    phones = [PHONES[sign] for sign in SENTENCES[number]]
    counts = [round(phone.seconds * FRAMES_PER_SECOND) for phone in phones]
    total = sum(counts)
    rng = np.random.default_rng(number)
    stress = np.repeat(rng.uniform(0.6, 1.0, len(phones)), counts)
    voice = _glided(np.repeat([phone.voice for phone in phones], counts) * stress, 3)
    noise = np.repeat([phone.noise for phone in phones], counts)
    base, reach, per_second, turn = MELODIES[number]
    time = np.arange(total) / FRAMES_PER_SECOND
    f0_hz = base * 2 ** (octaves + reach * np.sin(2 * np.pi * per_second * time + turn) - 0.08 * time)
    columns = (np.repeat([phone.formants[place] for phone in phones], counts) for place in range(3))
    formants = np.stack([*(_glided(column, GLIDE_FRAMES) for column in columns), np.full(total, 3500.0)])
    made = _voiced(f0_hz, voice, formants, sample_rate) + _noises(phones, counts, sample_rate, number)
    speaks = (voice > 0.05) | (noise > 0)
    active = speaks[np.arange(len(made)) * FRAMES_PER_SECOND // sample_rate]
    level = float(np.sqrt(np.mean(np.square(made[active]))))
    return Utterance(
        samples=made / level * 10 ** (SPEECH_DB / 20),
        sample_rate=sample_rate,
        f0_hz=np.where(voice > 0.1, f0_hz, 0.0),
        is_noisy=(noise > 0) & (voice < 0.02),
        is_pause=~np.convolve(np.pad(speaks, (10, 5)), np.ones(16), "valid").astype(bool),
    )


def _voiced(f0_hz: np.ndarray, gain: np.ndarray, formants: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return [T] of harmonics at sample_rate for f0_hz [F], gain [F] and formants [4, F]."""
    hop = VOICED_RATE // FRAMES_PER_SECOND
    place = np.arange(len(f0_hz) * hop) / hop
    frames = np.arange(len(f0_hz))
    phase = 2 * np.pi * np.cumsum(np.interp(place, frames, f0_hz)) / VOICED_RATE
    sound = np.zeros(len(place))
    for number in range(1, int(HIGHEST_HARMONIC_HZ / f0_hz.min()) + 1):
        frequency = number * f0_hz
        shape = gain / (1 + (frequency / 600.0) ** 2) ** 0.4  # of the glottis, with what lips add
        for formant, bandwidth in zip(formants, BANDWIDTHS, strict=True):
            ratio = frequency / formant
            shape = shape / np.sqrt((1 - ratio**2) ** 2 + (bandwidth * ratio / formant) ** 2)
        shape = shape * np.clip((HIGHEST_HARMONIC_HZ - frequency) / 200.0, 0.0, 1.0)
        sound += np.interp(place, frames, shape) * np.sin(number * phase + 0.3 * number**2)
    sound /= float(np.sqrt(np.mean(np.square(sound))))
    if sample_rate != VOICED_RATE:
        sound = soxr.resample(sound, VOICED_RATE, sample_rate, quality="HQ")
    count = round(len(f0_hz) * sample_rate / FRAMES_PER_SECOND)
    padded: np.ndarray = np.pad(sound, (0, max(0, count - len(sound))))[:count]
    return padded


def _noises(phones: list[Phone], counts: list[int], sample_rate: int, seed: int) -> np.ndarray:
    """Return [T] of the noises of fricatives and bursts, each in its band."""
    edges = np.round(np.cumsum([0, *counts]) * sample_rate / FRAMES_PER_SECOND).astype(int)
    made = np.zeros(edges[-1])
    rng = np.random.default_rng(100 + seed)
    for phone, start, end in zip(phones, edges[:-1], edges[1:], strict=True):
        size = int(end - start)
        if phone.noise:
            spectrum = np.fft.rfft(rng.standard_normal(size))
            share = np.fft.rfftfreq(size, 1 / sample_rate) / 8000.0
            low, high = phone.band
            spectrum /= np.sqrt((1 + (low / np.maximum(share, 1e-3)) ** 6) * (1 + (share / high) ** 6))
            noise = np.fft.irfft(spectrum, size)
            ramp = np.minimum(1, np.minimum(np.arange(size), np.arange(size)[::-1]) / (0.01 * sample_rate))
            made[start:end] = phone.noise * ramp * noise / float(noise.std())
    return made


def _glided(values: np.ndarray, frames: int) -> np.ndarray:
    """Return [F] with its steps made slopes of so many frames."""
    window = np.hanning(2 * frames + 1)[1:-1]
    padded = np.pad(values.astype(float), (len(window) // 2, len(window) - 1 - len(window) // 2), mode="edge")
    glided: np.ndarray = np.convolve(padded, window / window.sum(), mode="valid")
    return glided
