"""Sounds that a voice is judged by beside plain speech: sung, laughed and whispered lines, noise, rooms, phones, music.

All are made of recordings, so that anybody can judge a voice with recordings of their own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import soxr
from scipy.signal import butter, sosfilt

from benchmarks.known_pitch import VIBRATO_CENTS, VIBRATO_HZ, VOCODER_SECONDS, Sound, Voice, speak
from utils.audio.frames import FEATURE_RATE
from utils.audio.surroundings import add_noise, put_into_room

NOTE_SECONDS, GLIDE_SECONDS = 0.6, 0.08
SCALE = (0, 2, 4, 5, 7, 9, 11, 12)  # semitones of a major scale
SUNG_HZ = {"sung, 80 to 160 Hz": 80.0, "sung, 200 to 400 Hz": 200.0, "sung, 450 to 900 Hz": 450.0}  # its lowest note
MUSIC_DB, CHORD_SECONDS = 10.0, 0.8
PHONE_RATE, PHONE_BAND_HZ, PHONE_NOISE_DB, PHONE_ROOM_SECONDS = 8000, (300.0, 3400.0), 20.0, 0.4
MU = 255.0  # of ITU-T G.711, 8 bits a sample
BURST_SECONDS, BURST_VOICED, BURST_HIGH, BURST_FALL = 0.2, 0.55, 1.7, 0.6  # five a second, as laughter has
CHORDS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))


class Disturbance(NamedTuple):
    """What is done to speech: a function of samples [T] at 16 kHz and random numbers."""

    name: str
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray]


def disturbances() -> list[Disturbance]:
    """Return what stands around a voice in rooms that are no studios."""
    return [
        Disturbance("noise, 15 dB", lambda audio, rng: add_noise(audio, 15.0, rng)),
        Disturbance("noise, 5 dB", lambda audio, rng: add_noise(audio, 5.0, rng)),
        Disturbance("room, 0.5 s", lambda audio, rng: put_into_room(audio, 0.5, FEATURE_RATE, rng)),
        Disturbance("music behind, 10 dB", with_music),
        Disturbance("phone, room and noise", over_phone),
    ]


def sung(voice: Voice, lowest_hz: float, rng: np.random.Generator) -> Sound:
    """Synthesise the words of a recording on notes of a scale above lowest_hz, with glides and vibrato."""
    time = np.arange(len(voice.f0_hz)) * VOCODER_SECONDS
    notes = rng.choice(SCALE, int(time[-1] / NOTE_SECONDS) + 1)
    position = time / NOTE_SECONDS
    index = position.astype(int)
    # the way from the note before takes the first part of each note
    way = np.clip((position - index) * NOTE_SECONDS / GLIDE_SECONDS, 0.0, 1.0)
    semitones = notes[np.maximum(index - 1, 0)] * (1 - way) + notes[index] * way
    vibrato = VIBRATO_CENTS / 100 * np.sin(2 * np.pi * VIBRATO_HZ * time) * (way >= 1)
    curve = lowest_hz * 2 ** ((semitones + vibrato) / 12)
    return speak(Voice(np.where(voice.f0_hz > 0, curve, 0.0), voice.spectrum, voice.aperiodicity))


def whispered(voice: Voice) -> Sound:
    """Synthesise the words of a recording from noise alone."""
    return speak(Voice(np.zeros_like(voice.f0_hz), voice.spectrum, np.ones_like(voice.aperiodicity)))


def with_music(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return speech [T] with chords behind it, 10 dB below."""
    time = np.arange(len(audio)) / FEATURE_RATE
    chord = (time / CHORD_SECONDS).astype(int) % len(CHORDS)
    root_hz = 110.0 * 2 ** (rng.integers(0, 12) / 12)
    music = np.zeros(len(audio))
    for tone in range(len(CHORDS[0])):
        semitones = np.array([notes[tone] for notes in CHORDS])[chord]
        phase = 2 * np.pi * np.cumsum(root_hz * 2 ** (semitones / 12)) / FEATURE_RATE
        music += sum(np.sin(number * phase) / number for number in range(1, 6))
    music *= np.exp(-2.0 * (time % CHORD_SECONDS))
    gain = np.sqrt(np.mean(np.square(audio)) / np.mean(np.square(music))) * 10 ** (-MUSIC_DB / 20)
    return (audio + gain * music).astype(np.float32)


def over_phone(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return speech [T] as a phone in a noisy room gives it: reflections, noise at 20 dB, 300 to 3400 Hz, 8 bits."""
    heard = add_noise(put_into_room(audio, PHONE_ROOM_SECONDS, FEATURE_RATE, rng), PHONE_NOISE_DB, rng)
    narrow = soxr.resample(heard, FEATURE_RATE, PHONE_RATE, quality="HQ")
    narrow = sosfilt(butter(4, PHONE_BAND_HZ, "bandpass", fs=PHONE_RATE, output="sos"), narrow)
    peak = max(float(np.abs(narrow).max(initial=0.0)), 1e-9)
    law = np.sign(narrow) * np.log1p(MU * np.abs(narrow) / peak) / np.log1p(MU)
    steps = np.round(law * 127) / 127
    coded = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(MU)) / MU * peak
    wide = soxr.resample(coded, PHONE_RATE, FEATURE_RATE, quality="HQ")[: len(audio)]
    return np.pad(wide, (0, len(audio) - len(wide))).astype(np.float32)


def laughed(voice: Voice, rng: np.random.Generator) -> Sound:
    """Synthesise bursts in a voice, as laughter has: five a second, each falls in pitch, breath between them.

    Each burst has the spectrum of one of the loudest voiced moments of the recording; a recording without any gives
    breath alone.
    """
    level = voice.spectrum.sum(axis=1) * (voice.f0_hz > 0)
    loudest = np.flatnonzero(level >= np.quantile(level, 0.8))
    count = len(voice.f0_hz)
    position = np.arange(count) * VOCODER_SECONDS / BURST_SECONDS
    within = position % 1.0
    moments = rng.choice(loudest, int(position[-1]) + 1)[position.astype(int)]
    is_voiced = (within < BURST_VOICED) & (voice.f0_hz[moments] > 0)
    curve = BURST_HIGH * np.median(voice.f0_hz[voice.f0_hz > 0] if level.any() else 1.0) * BURST_FALL**within
    decay = 10 ** (-1.5 * within)[:, None]  # 15 dB within each burst
    aperiodicity = np.where(is_voiced[:, None], voice.aperiodicity[moments], 1.0)
    return speak(Voice(np.where(is_voiced, curve, 0.0), voice.spectrum[moments] * decay, aperiodicity))
