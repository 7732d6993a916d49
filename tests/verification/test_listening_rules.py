"""The rules that listen: a voice that keeps them passes, and each planted fault is found by its rule."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from tests.tools.planted_graphs import reference_of
from tests.tools.speaking_voice import SPEAKING_RATE, speaking_voice
from tests.tools.standin_voice import metadata_of
from utils.verification import amount_rules, rules, sound_rules, speech_rules
from utils.verification.checks import Check
from utils.verification.listening import VOICED, Heard
from utils.verification.reference_page import LIMITS, PAGE, page_text
from utils.verification.utterances import utterance
from utils.verification.voices import Voice
from utils.voice_file.metadata import AUTOMATIC_PITCH_KEY, BANDWIDTH_KEY, NOT_JUDGED_KEY

Array = np.ndarray
STATED = replace(metadata_of(num_speakers=1), sample_rate=SPEAKING_RATE, model_rate=SPEAKING_RATE)
LISTENING = [rule.check.keywords["rule"] for rule in rules.RULES if rule.name in rules.LISTENING]  # type: ignore[attr-defined]


def late(made: Array, seconds: float) -> Array:
    count = round(seconds * SPEAKING_RATE)
    return np.concatenate([np.zeros(count, made.dtype), made])[: len(made)]


def low(made: Array, highest_hz: float) -> Array:
    spectrum = np.fft.rfft(made)
    spectrum[np.fft.rfftfreq(len(made), 1 / SPEAKING_RATE) > highest_hz] = 0
    return np.fft.irfft(spectrum, len(made))


def held(made: Array, count: int) -> Array:
    return np.repeat(made[::count], count)[: len(made)]


def seconds_of(made: Array) -> Array:
    return np.arange(len(made)) / SPEAKING_RATE


def noise(made: Array) -> Array:
    return np.random.default_rng(0).standard_normal(len(made))


def hissing(made: Array) -> Array:
    return made + 0.006 * noise(made) * (np.abs(made) > 1e-4)


@pytest.mark.parametrize("rule", LISTENING, ids=lambda rule: rule.__name__)
def test_a_voice_that_keeps_everything_passes(rule: Callable[[Voice], Check]) -> None:
    stated = replace(STATED, extra={BANDWIDTH_KEY: 7900})

    check = rule(speaking_voice(metadata=stated))

    assert check.outcome in ("PASS", "SKIP"), check.detail
    assert check.name in rules.LISTENING


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (speech_rules.check_content, lambda made, audio: made[::-1]),
        (speech_rules.check_content, lambda made, audio: late(made, 0.04)),
        (speech_rules.check_content, lambda made, audio: late(made, 0.012)),
        (speech_rules.check_content, lambda made, audio: np.abs(audio) * np.sin(np.arange(len(audio)))),
        (speech_rules.check_pitch, lambda made, audio: np.abs(audio) * noise(made)),
        (speech_rules.check_range, lambda made, audio: low(made, 250)),
        (speech_rules.check_levels, lambda made, audio: made * (np.abs(audio).max() > 0.05)),
        (speech_rules.check_levels, lambda made, audio: made / max(1e-9, np.abs(made).max())),
        (sound_rules.check_imposed, lambda made, audio: 1.2 * made),
        (sound_rules.check_imposed, lambda made, audio: np.clip(made, -0.15, 0.15)),
        (sound_rules.check_imposed, lambda made, audio: made * np.exp(-3 * seconds_of(made))),
        (sound_rules.check_dry, lambda made, audio: made + 0.05 * audio),
        (sound_rules.check_dry, lambda made, audio: made + 0.3 * late(audio - low(audio, 5000), 0.01)),
        (sound_rules.check_waveform, lambda made, audio: made + 0.01),
        (sound_rules.check_waveform, lambda made, audio: np.clip(made, -0.1, 0.1)),
        (sound_rules.check_waveform, lambda made, audio: np.round(100 * made) / 100),
        (sound_rules.check_waveform, lambda made, audio: made * (seconds_of(made) % 0.5 > 0.05)),
        (sound_rules.check_vowels, lambda made, audio: made * (1 + 0.3 * noise(made))),
        (sound_rules.check_vowels, lambda made, audio: held(made, 2)),
        (sound_rules.check_vowels, lambda made, audio: held(made, 3)),
        (sound_rules.check_pauses, lambda made, audio: hissing(made)),
        (sound_rules.check_pauses, lambda made, audio: made + 0.02 * (np.arange(len(made)) % 4000 == 0)),
        (sound_rules.check_echo, lambda made, audio: made + 0.4 * late(made, 0.08)),
        (sound_rules.check_echo, lambda made, audio: made + 0.5 * late(made, 0.02)),
    ],
    ids=["backwards", "late words", "words 12 ms late", "no words", "whisper", "no high pitch",
         "soft is silent", "one level", "gain", "limit", "fade",
         "dry", "dry highs", "offset", "flat tops", "steps", "gaps", "rough", "each second held", "each third held",
         "hiss", "clicks", "echo", "comb"],
)  # fmt: skip
def test_a_fault_of_the_sound_is_found(rule: Callable[[Voice], Check], change: Callable[[Array, Array], Array]) -> None:
    check = rule(speaking_voice(change))

    assert not check.passed, check.detail


@pytest.mark.parametrize(
    ("rule", "controls"),
    [
        (amount_rules.check_shift, lambda given: {**given, "pitch_shift": 0.0}),
        (amount_rules.check_shift, lambda given: {**given, "pitch_shift": -given["pitch_shift"]}),
        (amount_rules.check_shift, lambda given: {**given, "pitch_shift": 1.1 * given["pitch_shift"]}),
        (amount_rules.check_shift, lambda given: {**given, "pitch_shift": min(given["pitch_shift"], 6.0)}),
        (amount_rules.check_mix, lambda given: {**given, "loudness_mix": float(given["loudness_mix"] > 0)}),
        (sound_rules.check_imposed, lambda given: {**given, "loudness_mix": 1.0}),
        (speech_rules.check_pitch, lambda given: {**given, "pitch_shift": -7.0}),
        (speech_rules.check_pitch, lambda given: {**given, "pitch_shift": 0.5}),
    ],
    ids=[
        "none",
        "the wrong way",
        "too far",
        "no octave",
        "a switch",
        "not imposed",
        "a fifth lower",
        "half a semitone",
    ],
)
def test_a_fault_of_a_control_is_found(
    rule: Callable[[Voice], Check], controls: Callable[[dict[str, float]], dict[str, float]]
) -> None:
    check = rule(speaking_voice(controls=controls))

    assert not check.passed, check.detail


def test_speech_that_reaches_less_high_than_stated_is_found_and_older_files_are_warned_of() -> None:
    stated, silent = (replace(STATED, extra=extra) for extra in ({BANDWIDTH_KEY: 7900}, {}))

    checks = [
        sound_rules.check_bandwidth(speaking_voice(lambda made, _: low(made, 5000), metadata=item))
        for item in (stated, silent)
    ]

    assert [check.outcome for check in checks] == ["FAIL", "WARN"]
    assert "stated 7900 Hz" in checks[0].detail


class Speaking:
    """What judged needs of a candidate."""

    def __init__(self, voice: Voice) -> None:
        self.voice, self.metadata = voice, voice.metadata


@pytest.mark.parametrize(
    ("extra", "has_reference", "outcome"),
    [
        ({}, False, "FAIL"),
        ({}, True, "WARN"),
        ({NOT_JUDGED_KEY: ["waveform"]}, False, "WARN"),
        ({NOT_JUDGED_KEY: 3}, False, "FAIL"),
    ],
    ids=["alone", "as PyTorch", "as stated", "stated badly"],
)
def test_what_the_voice_itself_does_not_keep_is_not_judged(
    extra: dict[str, object], has_reference: bool, outcome: str
) -> None:
    voice = speaking_voice(lambda made, _: made + 0.02, metadata=replace(STATED, extra=extra))
    reference = replace(reference_of(lambda audio: 1.3 * audio + 0.02), sample_rate=SPEAKING_RATE)

    check = rules.judged(Speaking(voice), reference if has_reference else None, rule=sound_rules.check_waveform)  # type: ignore[arg-type]

    assert check.outcome == outcome
    assert check.is_unjudged == (outcome == "WARN") == check.detail.startswith("not judged, ")


def test_a_file_from_before_a_rule_states_it_with_the_rule_that_it_was_part_of() -> None:
    voice = speaking_voice(lambda made, _: low(made, 250), metadata=replace(STATED, extra={NOT_JUDGED_KEY: ["pitch"]}))

    check = rules.judged(Speaking(voice), None, rule=speech_rules.check_range)  # type: ignore[arg-type]

    assert check.outcome == "WARN", check.detail


def test_a_sound_voice_beside_pytorch_is_no_excuse_for_its_graph() -> None:
    voice = speaking_voice(lambda made, _: made + 0.02)
    reference = replace(reference_of(lambda audio: 1.3 * audio), sample_rate=SPEAKING_RATE)

    check = rules.judged(Speaking(voice), reference, rule=sound_rules.check_waveform)  # type: ignore[arg-type]

    assert check.outcome == "FAIL"


def test_the_reference_has_the_rules_that_listen_as_they_are() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert page_text(text) == text, "type: python -m utils.verification.reference_page"
    assert set(LIMITS) == rules.LISTENING


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_speech_has_its_length_and_level_at_every_rate(rate: int) -> None:
    speech = utterance(rate, 1, 1)

    assert abs(len(speech.samples) - len(speech.f0_hz) * rate / 100) < 1
    assert 0.1 < np.abs(speech.samples).max() < 1
    assert np.isfinite(speech.samples).all()
    assert len(speech.is_pause) == len(speech.is_noisy) == len(speech.f0_hz)
    assert speech.is_pause.any() and speech.is_noisy.any() and (speech.f0_hz > 0).any()


def automatic_voice(moves: Callable[[float], float]) -> Voice:
    """Return the voice with an automatic pitch_shift towards 200 Hz, which something is done to."""
    stated = replace(STATED, extra={AUTOMATIC_PITCH_KEY: {"step": 1}})
    plain = speaking_voice(metadata=stated)

    def convert(audio: Array, given: Mapping[str, float]) -> Array:
        heard = Heard(audio, SPEAKING_RATE)
        f0_hz, likeness = heard.pitch
        median_hz = np.median(f0_hz[(likeness > VOICED) & (heard.level_db > -45)])
        return plain.convert(audio, {"pitch_shift": moves(round(12 * np.log2(200.0 / median_hz))), **given})

    return replace(plain, convert=convert)


def test_a_voice_that_moves_to_its_median_keeps_the_rule_about_automatic_pitch() -> None:
    check = amount_rules.check_automatic(automatic_voice(lambda shift: shift))

    assert check.outcome == "PASS", check.detail


@pytest.mark.parametrize("moves", [lambda shift: 0.0, lambda shift: shift + 2, lambda shift: shift + 0.5])
def test_another_automatic_shift_is_found(moves: Callable[[float], float]) -> None:
    assert amount_rules.check_automatic(automatic_voice(moves)).outcome == "FAIL"


def test_the_melody_of_an_automatic_voice_is_heard_at_its_own_height() -> None:
    assert speech_rules.check_pitch(automatic_voice(lambda shift: shift)).outcome == "PASS"
