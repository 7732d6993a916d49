"""Sound whose pitch is known: recordings spoken again by a vocoder, and sung notes."""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.audio.synthetic_speech import VOWELS

VOCODER_SECONDS = 0.005
LOWEST_HZ, HIGHEST_HZ = 60.0, 600.0  # of speech
AUDIBLE_DB = 40.0  # below the loudest frame, what seems periodic is the room
SHORTEST_VOICE_SECONDS = 0.05
PERIODIC = 0.999  # aperiodicity of the lowest band from which WORLD synthesises noise alone
NOTES_HZ = np.geomspace(80.0, 900.0, 16)
NOTE_SECONDS, REST_SECONDS, RAMP_SECONDS = 0.8, 0.2, 0.04
VIBRATO_HZ, VIBRATO_CENTS = 5.5, 50.0
BREATH_DB = -60.0


@dataclass(frozen=True)
class Sound:
    """Audio [F * 160] at 16 kHz and its true f0_hz [F]: 0 is unvoiced, NaN is left out."""

    audio: np.ndarray
    f0_hz: np.ndarray


@dataclass(frozen=True)
class Voice:
    """WORLD's description of a recording, every 5 ms: f0_hz [N], 0 = unvoiced; spectrum and aperiodicity [N, bins]."""

    f0_hz: np.ndarray
    spectrum: np.ndarray
    aperiodicity: np.ndarray


def choose_recordings(corpus: Path, count: int, seed: int) -> list[Path]:
    """Return recordings of as many folders and speakers (file names up to the first - or _) as there are.

    Raises:
        DataError: if the corpus has no recordings.
    """
    rng = np.random.default_rng(seed)
    folders: dict[Path, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in list_audio(corpus):
        folders[path.parent][path.stem.replace("_", "-").partition("-")[0]].append(path)
    turns = [_taking_turns(speakers, rng) for speakers in folders.values()]
    return [path for _, path in zip(range(count), _one_of_each(turns), strict=False)]


def _taking_turns(speakers: dict[str, list[Path]], rng: np.random.Generator) -> Iterator[Path]:
    """Give a recording of one speaker after another, until there are no more."""
    shuffled = [[paths[index] for index in rng.permutation(len(paths))] for paths in speakers.values()]
    return _one_of_each([iter(shuffled[index]) for index in rng.permutation(len(shuffled))])


def _one_of_each(sources: Sequence[Iterator[Path]]) -> Iterator[Path]:
    """Give one item of each source, then the next of each, until all are empty."""
    waiting = list(sources)
    while waiting:
        remaining = []
        for source in waiting:
            item = next(source, None)
            if item is not None:
                remaining.append(source)
                yield item
        waiting = remaining


def describe_voice(path: Path, max_seconds: float) -> Voice:
    """Analyse the first seconds of a recording.

    Voiced is where harvest finds a pitch, D4C a period and the level is within 40 dB of the loudest frame, for at least
    50 ms; all else becomes unvoiced, so that the synthesised voice is so, too.
    """
    pyworld = _world()
    samples = load_audio(path, FEATURE_RATE)[: round(max_seconds * FEATURE_RATE)].astype(np.float64)
    f0_hz, times = pyworld.harvest(
        samples, FEATURE_RATE, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * VOCODER_SECONDS
    )
    spectrum = pyworld.cheaptrick(samples, f0_hz, times, FEATURE_RATE)
    aperiodicity = pyworld.d4c(samples, f0_hz, times, FEATURE_RATE)
    level = 10 * np.log10(spectrum.sum(axis=1) + 1e-20)
    voiced = (f0_hz > 0) & (aperiodicity[:, 0] <= PERIODIC) & (level >= level.max() - AUDIBLE_DB)
    voiced = without_short_runs(voiced, round(SHORTEST_VOICE_SECONDS / VOCODER_SECONDS))
    return Voice(np.where(voiced, f0_hz, 0.0), spectrum, np.where(voiced[:, None], aperiodicity, 1.0))


def speak(voice: Voice, factor: float = 1.0) -> Sound:
    """Synthesise a voice with its pitch times a factor."""
    f0_hz = voice.f0_hz * factor
    audio = _world().synthesize(f0_hz, voice.spectrum, voice.aperiodicity, FEATURE_RATE, 1000 * VOCODER_SECONDS)
    frames = len(audio) // FEATURE_HOP
    # our frame i is centred at (i + 0.5) * 10 ms, the vocoder's frame n at n * 5 ms
    centres = np.minimum(2 * np.arange(frames) + 1, len(f0_hz) - 1)
    return Sound(audio[: frames * FEATURE_HOP].astype(np.float32), f0_hz[centres])


def add_noise(sound: Sound, ratio_db: float, seed: int) -> Sound:
    """Add white noise at a signal-to-noise ratio over the whole sound."""
    noise = np.random.default_rng(seed).standard_normal(len(sound.audio))
    gain = np.sqrt(np.mean(np.square(sound.audio, dtype=np.float64)) / 10 ** (ratio_db / 10))
    return Sound((sound.audio + gain * noise).astype(np.float32), sound.f0_hz)


def sing(vibrato_cents: float, seed: int) -> Sound:
    """Synthesise 16 sung notes of 80 to 900 Hz with rests between them, harmonic by harmonic under vowels' formants.

    The ramps at both ends of a note, and a frame of rest beside them, are left out: every window there covers both.
    """
    rng = np.random.default_rng(seed)
    audio, truth = [], []
    for index, note_hz in enumerate(NOTES_HZ):
        time = np.arange(round(NOTE_SECONDS * FEATURE_RATE)) / FEATURE_RATE
        curve = note_hz * 2 ** (vibrato_cents / 1200 * np.sin(2 * np.pi * VIBRATO_HZ * time))
        phase = 2 * np.pi * np.cumsum(curve) / FEATURE_RATE
        note = np.zeros(len(time))
        for number in range(1, int(7200 / (note_hz * 1.05)) + 1):
            gain = sum(1 / (1 + ((number * curve - formant) / 90) ** 2) for formant in VOWELS[index % len(VOWELS)])
            note += (gain + 0.01) / number**0.5 * np.sin(number * phase + rng.uniform(0, 2 * np.pi))
        edge = np.minimum(time, time[-1] - time) / RAMP_SECONDS
        rest = round(REST_SECONDS * FEATURE_RATE)
        audio += [np.zeros(rest), 0.3 * note / np.abs(note).max() * np.clip(edge, 0, 1)]
        centres = slice(FEATURE_HOP // 2, None, FEATURE_HOP)
        silence = np.zeros(rest // FEATURE_HOP)
        silence[[0, -1]] = np.nan
        truth += [silence, np.where(edge >= 1, curve, np.nan)[centres]]
    whole = np.concatenate(audio)
    breath = 10 ** (BREATH_DB / 20) * rng.standard_normal(len(whole))
    return Sound((whole + breath).astype(np.float32), np.concatenate(truth))


def without_short_runs(flags: np.ndarray, shortest: int) -> np.ndarray:
    """Clear runs of True that are shorter than `shortest`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    kept = np.zeros_like(flags)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        kept[start:end] = end - start >= shortest
    return kept


def _world():  # type: ignore[no-untyped-def]  # pyworld has no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # its import speaks of setuptools
        import pyworld
    return pyworld
