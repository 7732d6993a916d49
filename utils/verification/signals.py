"""Audio on which an exported graph is tried: speech-like, silent and hostile."""

from functools import lru_cache

import numpy as np

SYLLABLE_SECONDS = 0.27


@lru_cache(maxsize=32)  # of a few megabytes each; many rules want the same
def speech_like(sample_rate: int, num_samples: int, seed: int) -> np.ndarray:
    """Return [T] float32 with gliding harmonics, bursts of noise, pauses and changing level, peak about 0.5."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples) / sample_rate
    f0_hz = 130.0 * (1 + 0.35 * (seed % 3)) * 2 ** (0.25 * np.sin(2 * np.pi * 0.9 * time + seed))
    phase = 2 * np.pi * np.cumsum(f0_hz) / sample_rate
    voiced = np.zeros(num_samples)
    sine, before, turn = np.sin(phase), np.zeros(num_samples), 2 * np.cos(phase)
    for harmonic in range(1, 31):
        formant = 1 / (1 + ((harmonic * 140 - 600) / 500) ** 2) + 0.4 / (1 + ((harmonic * 140 - 1900) / 600) ** 2)
        voiced += (formant + 0.05) * sine * (harmonic * f0_hz < 0.45 * sample_rate)
        sine, before = turn * sine - before, sine  # sin((n + 1) x) = 2 cos(x) sin(n x) - sin((n - 1) x)
    noise = rng.standard_normal(num_samples)
    hiss = np.diff(noise, prepend=0.0)
    kind = (time / SYLLABLE_SECONDS + seed).astype(int) % 4
    position = np.mod(time / SYLLABLE_SECONDS, 1.0)
    level = np.sin(np.pi * position) * (0.4 + 0.6 * np.abs(np.sin(0.7 * time + seed)))
    audio = np.select([kind == 1, kind == 3], [0.15 * hiss, 0.0 * hiss], 0.25 * voiced) * level + 1e-4 * noise
    return np.clip(audio, -0.99, 0.99).astype(np.float32)


def hostile(sample_rate: int) -> dict[str, np.ndarray]:
    """Return named [1, T] inputs that no graph may answer with NaN or infinity."""
    length = sample_rate // 4
    clean = speech_like(sample_rate, length, 0)
    holes = clean.copy()
    holes[::97], holes[1::89], holes[2::83] = np.nan, np.inf, -np.inf
    square = np.where(np.arange(length) % 100 < 50, 1.0, -1.0)
    inputs = {
        "NaN and infinity": holes,
        "all NaN": np.full(length, np.nan),
        "one NaN": np.array([np.nan]),
        "huge": clean * 1e30,
        "tiny": clean * 1e-30,
        "full-scale square": square,
        "constant": np.full(length, 0.7),
    }
    return {name: np.asarray(audio, dtype=np.float32)[None] for name, audio in inputs.items()}


def bursts(sample_rate: int, num_samples: int, seed: int) -> np.ndarray:
    """Return [T] float32 of voiced bursts of 80 to 160 ms at uneven distances, for measuring delay by level."""
    rng = np.random.default_rng(seed)
    envelope = np.zeros(num_samples)
    start = round(0.05 * sample_rate)
    while start < num_samples:
        length = min(round(rng.uniform(0.08, 0.16) * sample_rate), num_samples - start)
        envelope[start : start + length] = np.hanning(length + 2)[1:-1]
        start += length + round(rng.uniform(0.04, 0.14) * sample_rate)
    phase = 2 * np.pi * 160.0 * np.arange(num_samples) / sample_rate
    harmonics = sum(np.sin(number * phase + number**2) / number for number in range(1, 20))
    return (0.2 * envelope * harmonics).astype(np.float32)


def swelling_noise(sample_rate: int, num_samples: int, seed: int) -> np.ndarray:
    """Return [T] float32 of noise whose level goes up and down each 50 ms, for measuring delay by level."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples) / sample_rate
    corners = np.arange(0, num_samples / sample_rate + 0.1, 0.05)
    level = np.interp(time, corners, np.square(rng.uniform(0, 1, len(corners))))
    return (0.15 * level * rng.standard_normal(num_samples)).astype(np.float32)
