"""Rules about the sound itself: nothing is missing from it, nothing is in it that the voice did not make."""

import math
from itertools import pairwise

import numpy as np

from utils.verification.alignment import correlation
from utils.verification.checks import Check, skipped, verdict
from utils.verification.listening import Heard
from utils.verification.measures import decibels
from utils.verification.speech_rules import STEADY_FRAMES, power_db
from utils.verification.utterances import HIGHEST_HARMONIC_HZ, SPEECH_DB, utterance
from utils.verification.voices import Said, Voice
from utils.voice_file.metadata import BANDWIDTH_KEY

LOUD_DB, SOFT_DB = -12.0, -42.0
IMPOSED_DB, IMPOSED_LOW_DB, IMPOSED_HIGH_DB, IMPOSED_SECOND_DB = 0.8, -5.0, 4.0, 2.0
DRY_SHARE = 0.03
DRY_SECONDS = 0.05
DRY_BANDS = 6
LEAST_BAND_HZ = 100.0
DC_DB = -35.0
FLAT_TOP, FLAT_SHARE = 0.999, 2e-3
FULL_SCALE = 0.999
LEAST_VALUES = 2000
PAUSE_PEAK_DB = -48.0
PAUSE_DB = -58.0
GAP_DB, GAP_FRAMES = -45.0, 2
BAND_DB = -35.0  # below the level between 1 and 4 kHz; the lowest of a sound voice's band is about -12 there
BAND_STEP_HZ = 100.0
STATED_SHARE, USUAL_SHARE = 0.95, 0.85
VOWEL_NOISE_DB, HIGHEST_SHARE = -20.0, 0.48  # against white noise of the vowels' level; of the network's rate
IMAGE_WINDOW, IMAGE_EDGE, IMAGE_FACTORS, IMAGE_LIKENESS = 480, 8, (2, 3, 4), 0.4
IMAGE_DB, LEAST_BINS = -60.0, 12  # below the loudest: what a good resampler leaves is not heard
TAIL_SECONDS, TAIL_DB = 0.06, -40.0
ECHO_SECONDS = (0.004, 0.25)
ECHO_LIKENESS = 0.2


def check_imposed(voice: Voice) -> Check:
    """With loudness_mix=0 each moment has the level of the input, soft, usual or loud: no gain, limit, gap or fade."""
    name = "level imposed"
    if "loudness_mix" not in voice.controls:
        return skipped(name, "it has no input loudness_mix")
    problems: list[str] = []
    figures: dict[str, float] = {}
    for number, level in enumerate((SPEECH_DB, LOUD_DB, SOFT_DB)):
        said = voice.said(number, 1, speech_db=level, loudness_mix=0.0)
        apart = _apart(said)
        middle, low, high = (float(value) for value in np.percentile(apart, (50, 5, 95)))
        seconds = [float(np.median(part)) for part in np.array_split(apart, max(1, len(apart) // 100))]
        worst = max(seconds, key=lambda value: abs(value - middle)) - middle
        figures |= {
            f"imposed_{level:g}_db": middle,
            f"imposed_low_{level:g}_db": low,
            f"imposed_high_{level:g}_db": high,
        }
        if not abs(middle) <= IMPOSED_DB:
            problems.append(f"{middle:+.1f} dB for speech of {level:g} dB (allowed {IMPOSED_DB:g})")
        if not (low >= IMPOSED_LOW_DB and high <= IMPOSED_HIGH_DB):
            problems.append(f"{low:+.1f} to {high:+.1f} dB within speech of {level:g} dB")
        if not abs(worst) <= IMPOSED_SECOND_DB:
            problems.append(f"a second of speech of {level:g} dB is {worst:+.1f} dB from the others")
    detail = f"{figures[f'imposed_{SPEECH_DB:g}_db']:+.2f} dB from the input's level"
    return verdict(name, problems, detail, figures)


def _apart(said: Said) -> np.ndarray:
    source, made = said.levels()
    apart: np.ndarray = (made - source)[said.is_speech]
    return apart


def check_dry(voice: Voice) -> Check:
    """No share of the input itself is in the output: what changes sign with the input is no part of a voice."""
    count = round(4.0 * voice.sample_rate)
    rng = np.random.default_rng(5)
    speech = utterance(voice.sample_rate, 1, 3).samples[:count]
    source = (speech + 0.02 * rng.standard_normal(len(speech))).astype(np.float32)
    odd = 0.5 * (voice.answer(source) - voice.answer(-source))
    shares = {}
    edges = np.linspace(LEAST_BAND_HZ, 0.45 * voice.sample_rate, DRY_BANDS + 1)
    for low, high in pairwise(edges):
        one, other = (_band(signal, low, high, voice.sample_rate) for signal in (source, odd))
        _, values = correlation(one, other, round(DRY_SECONDS * voice.sample_rate))
        size = float(np.linalg.norm(other)) / max(float(np.linalg.norm(one)), 1e-12)
        shares[f"{low:.0f} to {high:.0f} Hz"] = float(np.abs(values).max()) * size
    place = max(shares, key=lambda key: shares[key])
    detail = f"{100 * shares[place]:.1f} % of the input at {place} (allowed {100 * DRY_SHARE:g})"
    return verdict("no dry share", [] if shares[place] <= DRY_SHARE else [detail], detail, {"dry_share": shares[place]})


def _band(signal: np.ndarray, low: float, high: float, sample_rate: int) -> np.ndarray:
    spectrum = np.fft.rfft(signal.astype(np.float64))
    frequencies = np.fft.rfftfreq(len(signal), 1 / sample_rate)
    spectrum[(frequencies < low) | (frequencies >= high)] = 0
    band: np.ndarray = np.fft.irfft(spectrum, len(signal))
    return band


def check_waveform(voice: Voice) -> Check:
    """No offset, no flat tops below full scale, no coarse steps, no gaps in speech."""
    trials = [voice.said(), voice.said(1, 1, speech_db=LOUD_DB)]
    made = np.concatenate([said.made.samples for said in trials]).astype(np.float64)
    offset = decibels(abs(float(made.mean())) / max(float(made.std()), 1e-9))
    problems = [f"an offset of {offset:.0f} dB (allowed {DC_DB:g})"] * (not offset <= DC_DB)
    peak = float(np.abs(made).max())
    flat = float(np.mean(np.abs(made) >= FLAT_TOP * peak))
    problems += [f"flat tops at {peak:.2f}: {100 * flat:.1f} % of the samples"] * (flat > FLAT_SHARE)
    values = len(np.unique(made))
    problems += [f"only {values} values"] * (values < LEAST_VALUES)
    gaps = max(_longest_gap(said) for said in trials)
    problems += [f"a gap of {10 * gaps} ms in speech"] * (gaps > GAP_FRAMES)
    figures = {"offset_db": offset, "flat_share": flat, "gap_frames": float(gaps)}
    return verdict("waveform", problems, f"offset {offset:.0f} dB, peak {peak:.2f}, {values} values", figures)


def _longest_gap(said: Said) -> int:
    _, made = said.levels()
    is_gap = said.is_speech & (made < power_db(made[said.is_speech]) + GAP_DB)
    longest = run = 0
    for value in is_gap:
        run = run + 1 if value else 0
        longest = max(longest, run)
    return longest


def check_bandwidth(voice: Voice) -> Check:
    """Speech reaches as high as the file states (`bandwidth_hz`); older files state the rate of the network alone."""
    found, metadata = bandwidth_hz(voice), voice.metadata
    stated = metadata.extra.get(BANDWIDTH_KEY) if metadata is not None else None
    figures = {"bandwidth_hz": found}
    if isinstance(stated, int | float) and not isinstance(stated, bool):
        detail = f"{found:.0f} Hz, stated {stated:.0f} Hz"
        return verdict("bandwidth", [] if found >= STATED_SHARE * stated else [detail], detail, figures)
    rate = min(voice.sample_rate, metadata.model_rate) if metadata is not None else voice.sample_rate
    detail = f"{found:.0f} of {rate // 2} Hz; the file does not state how high its voice reaches"
    return verdict("bandwidth", [], detail, figures, is_warning=found < USUAL_SHARE * rate / 2)


def bandwidth_hz(voice: Voice) -> float:
    """Return the highest frequency at which speech through a voice is within BAND_DB of its middle."""
    said = voice.said()
    window = 2 * round(0.02 * voice.sample_rate)
    padded = np.pad(said.made.samples.astype(np.float64), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)
    places = (np.flatnonzero(said.is_speech) * voice.sample_rate) // 100
    power = np.square(np.abs(np.fft.rfft(frames[places] * np.hanning(window), axis=1))).sum(axis=0)
    frequencies = np.fft.rfftfreq(window, 1 / voice.sample_rate)
    steps = np.arange(0, voice.sample_rate / 2 - BAND_STEP_HZ, BAND_STEP_HZ)
    near = [(frequencies >= step - BAND_STEP_HZ) & (frequencies < step + 2 * BAND_STEP_HZ) for step in steps]
    levels = np.array([10 * np.log10(power[chosen].mean() + 1e-15) for chosen in near])
    middle = float(levels[(steps >= 1000) & (steps < 4000)].mean())
    reached = steps[levels > middle + BAND_DB]
    return float(reached.max(initial=0.0)) + BAND_STEP_HZ


def check_vowels(voice: Voice) -> Check:
    """Vowels are clear: no noise follows them, and no image of their spectrum stands a part of the rate higher."""
    noise, images = vowel_noise_db(voice), image_likeness(voice)
    problems = [f"noise of {noise:.0f} dB in the highs of vowels (allowed {VOWEL_NOISE_DB:g})"] * (
        not noise <= VOWEL_NOISE_DB
    )
    problems += [
        f"an image of the spectrum 1/{factor} of the rate higher ({likeness:.2f}, allowed {IMAGE_LIKENESS:g})"
        for factor, likeness in images.items()
        if not likeness <= IMAGE_LIKENESS
    ]
    worst = max(images.values())
    detail = f"noise of {noise:.0f} dB in their highs, images {worst:.2f}"
    return verdict("clear vowels", problems[:2], detail, {"vowel_noise_db": noise, "image_likeness": worst})


def vowel_noise_db(voice: Voice) -> float:
    """Return how dense the sound of vowels is above their harmonics, against white noise of their level, in dB.

    Minus infinity for a network whose band ends there.
    """
    said, rate = voice.said(), voice.sample_rate
    network_rate = min(rate, voice.metadata.model_rate) if voice.metadata is not None else rate
    window = 2 * round(0.016 * rate)
    padded = np.pad(said.made.samples.astype(np.float64), window)
    is_steady = np.convolve(said.f0_hz > 0, np.ones(STEADY_FRAMES), "same") > STEADY_FRAMES - 0.5
    middles = np.flatnonzero(is_steady) * rate // 100 + rate // 200 + window
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[middles - window // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)))
    frequencies = np.fft.rfftfreq(window, 1 / rate)
    highs = power[:, (frequencies >= HIGHEST_HARMONIC_HZ) & (frequencies < HIGHEST_SHARE * network_rate)]
    if not highs.size:
        return -math.inf
    share = highs.mean(axis=1) / np.maximum(power.mean(axis=1), 1e-15)
    return 10 * math.log10(max(float(np.median(share)), 1e-12))


def image_likeness(voice: Voice) -> dict[int, float]:
    """Return by factor how far the spectrum is the same, 0 to 1, that part of the rate higher.

    It is where samples are held, left out or badly interpolated; parts of speech so far apart know nothing of each
    other.
    """
    samples = voice.said().made.samples.astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(samples, IMAGE_WINDOW)[:: IMAGE_WINDOW // 4]
    spectrum = np.fft.fft(frames * np.hanning(IMAGE_WINDOW), axis=1)
    chosen = slice(IMAGE_EDGE, IMAGE_WINDOW // 2 - IMAGE_EDGE)
    found = {}
    for factor in IMAGE_FACTORS:
        one, other = (np.roll(spectrum, -places, axis=1)[:, chosen] for places in (0, IMAGE_WINDOW // factor))
        sizes = np.linalg.norm(one, axis=0), np.linalg.norm(other, axis=0)
        likeness = np.abs((one.conj() * other).sum(axis=0)) / np.maximum(sizes[0] * sizes[1], 1e-12)
        is_heard = np.minimum(*sizes) > 10 ** (IMAGE_DB / 20) * max(size.max(initial=1e-12) for size in sizes)
        found[factor] = float(likeness[is_heard].mean()) if is_heard.sum() >= LEAST_BINS else 0.0
    return found


def check_pauses(voice: Voice) -> Check:
    """Pauses stay as quiet as a room of -66 dB: no hiss, hum or clicks."""
    said = voice.said()
    source, made = said.levels()
    floor = power_db(made[said.is_pause])
    samples = said.made.samples
    places = np.minimum(np.arange(len(samples)) * 100 // voice.sample_rate, said.num_frames - 1)
    peak = decibels(float(np.abs(samples[said.is_pause[places]]).max(initial=0.0)))
    detail = f"{floor:.1f} dB, peak {peak:.1f} dB, where the input has {power_db(source[said.is_pause]):.1f} dB"
    problems = [f"{detail} (allowed {PAUSE_DB:g}, peak {PAUSE_PEAK_DB:g})"] * (
        not (floor <= PAUSE_DB and peak <= PAUSE_PEAK_DB)
    )
    return verdict("pauses", problems, detail, {"pause_db": floor, "pause_peak_db": peak})


def check_echo(voice: Voice) -> Check:
    """Sound ends with the input, and noise is not heard twice."""
    rate = voice.sample_rate
    speech = utterance(rate, 0, 1).samples
    end = round(0.72 * rate)
    cut = np.concatenate([speech[:end], np.zeros(round(0.5 * rate), np.float32)])
    made = voice.answer(cut)
    before = made[end - round(0.1 * rate) : end]
    after = made[end + round(TAIL_SECONDS * rate) :]
    tail = decibels(_rms(after) / max(_rms(before), 1e-9))
    noise = (0.1 * np.random.default_rng(8).standard_normal(round(2.0 * rate))).astype(np.float32)
    heard = Heard(voice.answer(noise), rate).narrow[1600:-1600]
    likeness, place = _echo(heard - heard.mean())
    problems = [f"{tail:.0f} dB after the end (allowed {TAIL_DB:g})"] * (not tail <= TAIL_DB)
    problems += [f"noise comes again after {1000 * place:.0f} ms (correlation {likeness:.2f})"] * (
        likeness > ECHO_LIKENESS
    )
    figures = {"tail_db": tail, "echo_likeness": likeness}
    return verdict("no echo", problems, f"{tail:.0f} dB after the end, noise like itself {likeness:.2f}", figures)


def _echo(noise: np.ndarray) -> tuple[float, float]:
    """Return the largest correlation of noise at 16 kHz with itself later, whitened, and how much later."""
    spectrum = np.fft.rfft(noise, 2 * len(noise))
    power = np.square(np.abs(spectrum))
    smooth = np.convolve(power, np.hanning(401) / np.hanning(401).sum(), mode="same") + 1e-12 * power.max(initial=1e-12)
    likeness = np.fft.irfft(power / smooth)[: len(noise)]
    first, last = (round(seconds * 16000) for seconds in ECHO_SECONDS)
    values = np.abs(likeness[first:last]) / max(float(likeness[0]), 1e-12)
    place = int(np.argmax(values))
    return float(values[place]), (place + first) / 16000


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64))))) if values.size else 0.0
