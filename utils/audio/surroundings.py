"""Noise and rooms, synthesised: what a microphone hears beside a voice."""

import numpy as np
from scipy.signal import fftconvolve

STEEPEST_DB_PER_OCTAVE = 6.0  # white to brown
DIRECT_TO_ROOM_DB = (0.0, 10.0)  # energy of the direct sound over that of the reflections


def add_noise(audio: np.ndarray, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise whose spectrum falls by a random slope of 0 to 6 dB per octave.

    Args:
        audio: [T] float32.
        snr_db: level of the audio over that of the noise; silence gets none.
        rng: the only source of randomness.
    Returns:
        [T] float32.
    """
    if not audio.any():
        return audio
    spectrum = np.fft.rfft(rng.standard_normal(len(audio)))
    slope = rng.uniform(0.0, STEEPEST_DB_PER_OCTAVE)
    octaves = np.log2(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum * 10 ** (-slope * octaves / 20), len(audio))
    level = np.sqrt(np.mean(np.square(audio, dtype=np.float64)))
    return (audio + noise / max(float(noise.std()), 1e-12) * level * 10 ** (-snr_db / 20)).astype(np.float32)


def put_into_room(audio: np.ndarray, decay_seconds: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Add the reflections of a room: exponentially decaying noise behind the direct sound, which does not move.

    The classic model of late reverberation (Polack 1988), with a random level of the reflections.

    Args:
        audio: [T] float32.
        decay_seconds: time in which the reflections fall by 60 dB.
        sample_rate: samples per second.
        rng: the only source of randomness.
    Returns:
        [T] float32 with the level of the audio.
    """
    time = np.arange(1, round(decay_seconds * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay_seconds)
    tail[time < rng.uniform(0.002, 0.01)] = 0.0  # the way to the nearest wall and back
    tail *= 10 ** (-rng.uniform(*DIRECT_TO_ROOM_DB) / 20) / max(float(np.sqrt(np.square(tail).sum())), 1e-12)
    wet = audio + np.concatenate([[0.0], fftconvolve(audio, tail)])[: len(audio)] if len(tail) else audio
    loud = np.sqrt(np.mean(np.square(wet, dtype=np.float64)))
    if loud == 0.0:
        return audio
    return (wet * (np.sqrt(np.mean(np.square(audio, dtype=np.float64))) / loud)).astype(np.float32)
