"""Rules that compare a graph with the PyTorch voice that it was made from."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from utils.verification.candidate import Candidate
from utils.verification.checks import Check, verdict
from utils.verification.measures import decibels, relative_db, relative_difference
from utils.verification.reference import PARITY_DB, Reference, limit_of_parity_db
from utils.verification.signals import speech_like
from utils.voice_file.controls import ControlDefaults

STREAM_PARITY_DB = -60.0


def other_values(num_speakers: int) -> ControlDefaults:
    """Return a value for every control that is not its usual default."""
    last = num_speakers - 1
    return ControlDefaults(
        pitch_shift=-3.5, speaker_id=last, index_rate=1.0, protect=0.1, loudness_mix=0.4, automatic_f0=1, source_id=last
    )


def check_parity(candidate: Candidate, reference: Reference) -> Check:
    """Graph and voice agree on lengths from 1 sample to seconds, in batches and with other control values."""
    name, trials = "parity with PyTorch", list(_trials(candidate.sample_rate, reference))
    tolerance = 10 ** (reference.parity_db / 20)
    differences, absolute, is_near, words = [], 0.0, True, ""
    for audio, values in trials:
        controls = asdict(values) if values is not reference.defaults else {}
        expected, got = reference.convert(audio, values), candidate.run(audio, controls)
        if got.shape != expected.shape:
            return Check(name, False, f"shape {got.shape} instead of {expected.shape}")
        if not np.isfinite(got).all():
            given = ", ".join(f"{key}={value:g}" for key, value in controls.items()) or "the default controls"
            return Check(name, False, f"not finite for {audio.shape[1]} samples with {given}")
        difference = relative_difference(got, expected)
        if not difference <= tolerance:
            own = reference.own_change_db(audio, values)
            is_near &= decibels(difference) <= limit_of_parity_db(reference.parity_db, own)
            words = f"; the voice itself moves by {own:.0f} dB when the last bit of its input or weights changes"
        differences.append(difference)
        absolute = max(absolute, float(np.abs(got - expected).max(initial=0.0)))
    relative = max(differences)
    lengths = f"{len(trials)} trials, 1 to {max(audio.shape[1] for audio, _ in trials)} samples"
    detail = f"relative RMS {relative:.1e} (allowed {tolerance:.0e}), largest {absolute:.1e}; {lengths}{words}"
    figures = {"parity_relative_rms": relative, "parity_max_abs": absolute}
    return Check(name, is_near, detail, figures, is_warning=bool(words))


def check_stream_parity(candidate: Candidate, reference: Reference) -> Check:
    """Block by block gives what the PyTorch voice makes of the recording in one piece."""
    stream = candidate.new_stream()
    # a limit below the usual one was asked for on purpose; that of reduced weights is above this one
    is_asked = reference.parity_db < PARITY_DB - 1e-6
    limit = reference.parity_db if is_asked else max(STREAM_PARITY_DB, reference.parity_db)
    parities, problems, words, seconds = [], [], "", 0.0
    for audio, values in _stream_trials(candidate, reference):
        cut = audio[: len(audio) // stream.facts.block * stream.facts.block]
        if not len(cut):
            continue
        controls = candidate.present(asdict(values)) if values is not reference.defaults else {}
        conversion = reference.at(values)
        stream.reset()
        parity = relative_db(stream.process_blocks(cut, controls)[None], conversion(cut[None]))
        if not parity <= limit:
            own = reference.own_change_db(cut[None], values)
            words = f"; the voice itself moves by {own:.0f} dB when the last bit of its input or weights changes"
            allowed = limit_of_parity_db(limit, own)
            problems += [f"{parity:.1f} dB (allowed {allowed:.3g}{words})"] if not parity <= allowed else []
        parities.append(parity)
        seconds += len(cut) / candidate.sample_rate
    detail = f"{max(parities):.1f} dB (allowed {limit:.3g}) over {len(parities)} recordings, {seconds:.1f} s{words}"
    figures = {"stream_parity_db": max(parities)}
    return verdict("stream, blocks against one piece", problems, detail, figures, is_warning=bool(words))


def _trials(rate: int, reference: Reference) -> Iterator[tuple[np.ndarray, ControlDefaults]]:
    """Yield audio [B, T] and values of the controls."""
    for seed, length in enumerate((1, rate // 100 - 1, rate // 10, 7919, round(1.7 * rate) + 1, 4 * rate)):
        yield speech_like(rate, length, seed)[None], reference.defaults
    pair = np.stack([speech_like(rate, rate + 331, 7), speech_like(rate, rate + 331, 8)])
    yield pair, reference.defaults
    yield pair, other_values(reference.num_speakers)
    for recording in reference.recordings:
        yield recording[None], reference.defaults


def _stream_trials(candidate: Candidate, reference: Reference) -> Iterator[tuple[np.ndarray, ControlDefaults]]:
    """Yield audio [T] and values of the controls."""
    for audio in (candidate.speech(2.0, 12), *reference.recordings):
        yield audio, reference.defaults
    yield candidate.speech(1.0, 13), other_values(reference.num_speakers)
