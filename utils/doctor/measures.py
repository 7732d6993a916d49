"""What can be measured of the sound of a recording: background, room, bandwidth, clipping, hum, music."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter, median_filter
from scipy.signal import stft

from utils.audio.decoder import without_broken
from utils.audio.decoding import open_audio
from utils.audio.io import resample
from utils.audio.mono import Mixer

RATE = 16000  # samples per second of what needs no higher frequencies
READ_SECONDS = 600.0  # of a long recording, and of these
MOST_SECONDS = 60.0  # in three parts
TINY = 1e-14
DECAY_FRAMES = 20  # of 10 ms
EDGE_DB, DEPTH_DB, DEPTH_WEIGHT = 12.0, 60.0, 0.4
ROLL_OFF = 0.7  # of half the rate: from there on a recording's own converter makes it fall
CLIPPED_FROM = 0.985  # share of the peak: above it lie about 2 in 100,000 samples of a whole recording


@dataclass(frozen=True)
class SoundMeasures:
    """What was measured of one recording.

    Attributes:
        dc: mean of the samples, of full scale.
        clipped: share of the samples within 1.5 % of the peak.
        background_db: how far the quietest tenth of each band lies below the speech.
        decay_db: how fast the sound falls where it falls fastest, dB a second.
        bandwidth_hz: above it is nothing; half the rate where there is no such edge.
        hum_db: how far a line at 50 or 60 Hz stands above its surroundings, where the recording is quiet.
        hum_level_db: its level below the whole recording's.
        tones: tones a second that stand still for 0.4 s, as those of music do.
        rate: samples per second of the file.
        channels: of the file.
    """

    dc: float
    clipped: float
    background_db: float
    decay_db: float
    bandwidth_hz: float
    hum_db: float
    hum_level_db: float
    tones: float
    rate: int
    channels: int


def measure_file(path: Path) -> SoundMeasures:
    """Measure a recording at the rate that it has; of a long one, the first ten minutes.

    Raises:
        DataError: if it cannot be decoded.
    """
    with open_audio(path) as decoder:
        blocks: list[np.ndarray] = []
        for block in decoder.blocks():
            blocks.append(block)
            if sum(map(len, blocks)) >= READ_SECONDS * decoder.sample_rate:
                break
        samples = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
        return measure_sound(samples, decoder.sample_rate)


def measure_sound(samples: np.ndarray, rate: int) -> SoundMeasures:
    """Measure sound [T, C] float32 at a rate."""
    samples = without_broken(samples)[0]
    mixer = Mixer(samples.shape[1], rate)
    mean, channel = mixer.mix(samples), mixer.cancelled()
    dc = float(np.abs(samples.mean(axis=0, dtype=np.float64)).max()) if len(samples) else 0.0
    mono = _parts((mean if channel is None else samples[:, channel]).astype(np.float64), rate)
    mono -= mono.mean() if len(mono) else 0.0
    if len(mono) < rate // 2:
        mono = np.pad(mono, (0, rate // 2 - len(mono)))
    narrow = resample(mono.astype(np.float32), rate, RATE).astype(np.float64)
    bands = _bands(narrow)
    hum_db, hum_level_db = _hum(narrow)
    return SoundMeasures(
        dc=dc,
        clipped=max(_clipped(column) for column in samples.T) if len(samples) else 0.0,
        background_db=_background_db(bands),
        decay_db=_decay_db(bands),
        bandwidth_hz=bandwidth_hz(mono, rate),
        hum_db=hum_db,
        hum_level_db=hum_level_db,
        tones=_tones(narrow),
        rate=rate,
        channels=samples.shape[1],
    )


def average_spectrum(audio: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies [F] in Hz and mean power [F] in dB, smoothed over 150 Hz, of the louder half of audio [T]."""
    frequencies, power = _power(audio, rate, 0.064, 0.032)
    total = power.sum(axis=0)
    level = 10 * np.log10(power[:, total >= np.median(total)].mean(axis=1))
    width = max(1, round(150 / frequencies[1]))
    return frequencies, np.convolve(level, np.ones(width) / width, "same")


def bandwidth_hz(audio: np.ndarray, rate: int) -> float:
    """Return the frequency above which audio [T] has nothing, half the rate where it reaches that far.

    It is the lowest place where the spectrum falls by EDGE_DB within 400 Hz, to DEPTH_DB below its peak, and stays
    there; what lies deeper may have fallen less, below ROLL_OFF.
    """
    frequencies, level = average_spectrum(audio, rate)
    edges = np.arange(2500.0, rate / 2 - 700, 50)
    drops = np.zeros(len(edges))
    for index, edge in enumerate(edges):
        below = level[(frequencies > edge - 700) & (frequencies <= edge - 150)].mean()
        above = level[(frequencies >= edge + 250) & (frequencies < rate / 2 - 200)]
        depth = level.max() - above.max() - DEPTH_DB
        bonus = DEPTH_WEIGHT * depth if edge < ROLL_OFF * rate / 2 else 0.0
        drops[index] = below - above.max() + bonus if depth > 0 else 0.0
    steep = np.flatnonzero(drops >= EDGE_DB)
    if not len(steep):
        return rate / 2
    # the steepest place of the lowest edge
    end = steep[0] + np.argmax(np.diff(np.append(steep, steep[-1] + 2)) > 1) + 1
    first = int(steep[0])
    return float(edges[first + int(np.argmax(drops[first : max(end, first + 1)]))])


def _parts(audio: np.ndarray, rate: int) -> np.ndarray:
    if len(audio) <= MOST_SECONDS * rate:
        return audio
    length = int(MOST_SECONDS / 3 * rate)
    starts = np.linspace(0, len(audio) - length, 3).astype(int)
    return np.concatenate([audio[start : start + length] for start in starts])


def _power(audio: np.ndarray, rate: int, window_seconds: float, hop_seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies [F] and power [F, N]."""
    window = min(int(window_seconds * rate), len(audio))
    overlap = window - min(int(hop_seconds * rate), window)
    frequencies, _, values = stft(audio, rate, nperseg=window, noverlap=overlap, boundary=None, padded=False)
    return frequencies, np.square(np.abs(values)) + TINY


def _bands(audio: np.ndarray) -> np.ndarray:
    """Return the power [24, N] of bands from 150 to 7000 Hz, every 10 ms."""
    frequencies, power = _power(audio, RATE, 0.032, 0.01)
    edges = np.searchsorted(frequencies, np.geomspace(150, 7000, 25))
    return np.add.reduceat(power, edges[:-1], axis=0)


def _background_db(bands: np.ndarray) -> float:
    """Noise, babble and music fill what speech leaves empty: each band is quiet for a tenth of the time at least."""
    total = bands.sum(axis=0)
    speech = total[total >= np.median(total)].mean()
    return float(10 * np.log10(speech / np.percentile(bands, 10, axis=1).sum()))


def _decay_db(bands: np.ndarray) -> float:
    """A room lets no band fall faster than 60 dB in its reverberation time: slopes over 200 ms, the steepest 3 %."""
    groups = np.array([bands[first : first + 4].sum(axis=0) for first in range(6, 20, 4)])
    level = 10 * np.log10(groups)
    if level.shape[1] < DECAY_FRAMES:
        return 0.0
    steps = np.arange(DECAY_FRAMES) - (DECAY_FRAMES - 1) / 2
    slopes = sliding_window_view(level, DECAY_FRAMES, axis=1) @ steps / np.square(steps).sum() * 100
    return float(np.percentile(-slopes, 97))


def _clipped(samples: np.ndarray) -> float:
    peak = float(np.abs(samples).max())
    return float(np.mean(np.abs(samples) > CLIPPED_FROM * peak)) if peak > 0.05 else 0.0


def _hum(audio: np.ndarray) -> tuple[float, float]:
    """Return how far a line at 50 or 60 Hz stands out where it is quiet, and its level below the whole, in dB."""
    frequencies, power = _power(audio, RATE, 0.5, 0.1)
    quiet = np.percentile(power, 20, axis=1)
    whole = power.sum(axis=0).mean()
    best = (0.0, -99.0)
    for line in (50.0, 60.0):
        distance = np.abs(frequencies - line)
        height = quiet[distance <= 2].max()
        around = np.median(quiet[(distance >= 5) & (distance <= 9)])
        best = max(best, (float(10 * np.log10(height / around)), float(10 * np.log10(height / whole))))
    return best


def _tones(audio: np.ndarray) -> float:
    """Return tones a second that stay within 4 Hz for 0.4 s; a voice glides, an instrument does not."""
    _, power = _power(audio, RATE, 0.256, 0.032)
    level = 10 * np.log10(power[:1200])
    peaks = (level - median_filter(level, size=(31, 1)) > 12) & (level >= maximum_filter(level, size=(5, 1)))
    peaks[:30] = False  # below 117 Hz hum and rumble stand still too
    near = maximum_filter(peaks, size=(3, 1))
    lasting, found = np.zeros(len(near), int), 0
    for column in near.T:
        lasting = np.where(column, lasting + 1, 0)
        found += int((lasting == 12).sum())
    return found / (len(audio) / RATE)
