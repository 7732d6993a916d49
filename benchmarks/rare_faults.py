"""Faults that show in some audio only: late in it, in high voices, in large batches; they join FAULTS of fault_list."""

import numpy as np

from benchmarks.fault_edits import GraphEditor
from benchmarks.fault_list import (
    FAULTS,
    before,
    behind,
    fault,
    late_frames,
    of_content,
    of_pitch,
    silence_row,
    within,
    without,
)

__all__ = ["FAULTS"]


def _frames(editor: GraphEditor, tensor: str) -> str:
    """Return [F], the number of each frame of [B, F] or [B, F, D] as float32."""
    count = editor.node("Slice", editor.node("Shape", tensor), editor.whole(1), editor.whole(2), editor.whole(0))
    last = editor.node("Squeeze", count, editor.whole(0))
    return editor.as_float(editor.node("Range", editor.constant(0, np.int64), last, editor.constant(1, np.int64)))


def _from_to(editor: GraphEditor, tensor: str, first: float, last: float) -> str:
    """Return [F], whether a frame lies between two times."""
    places = _frames(editor, tensor)
    late = editor.node("GreaterOrEqual", places, editor.constant(100 * first))
    return editor.node("And", late, editor.node("Less", places, editor.constant(100 * last)))


def _words_backwards(editor: GraphEditor, content: str) -> str:
    chosen = editor.node("Unsqueeze", _from_to(editor, content, 16, 40), editor.whole(1))
    return editor.node("Where", chosen, editor.reversed(content), content)


def _without_unvoiced(editor: GraphEditor, sound: str, f0_hz: str) -> str:
    """Return the sound with silence where nothing is voiced."""
    hop = editor.constant(100 / editor.sample_rate)
    last = editor.node("Sub", editor.node("Shape", f0_hz, start=1), editor.whole(1))
    places = editor.node("Cast", editor.node("Floor", editor.node("Mul", editor.position(), hop)), to=7)
    voiced = editor.node("Gather", editor.sounding(f0_hz, 0), editor.node("Min", places, last), axis=1)
    return editor.node("Mul", sound, voiced)


def _level(editor: GraphEditor, sound: str) -> str:
    """Return [B, T], the mean size over 20 ms."""
    count = 2 * round(0.01 * editor.sample_rate) + 1
    return editor.filtered(editor.node("Abs", sound), np.full(count, 1 / count))


def _in_few_steps(editor: GraphEditor, sound: str, steps: int) -> str:
    """Return the sound in so many steps of a root, as telephones have it."""
    size = editor.node("Sqrt", editor.node("Abs", sound))
    rounded = editor.scaled(editor.node("Round", editor.scaled(size, steps)), 1 / steps)
    return editor.node("Mul", editor.node("Sign", sound), editor.node("Mul", rounded, rounded))


def _stretched(editor: GraphEditor, sound: str, factor: float) -> str:
    places = editor.node("Floor", editor.node("Mul", editor.position(), editor.constant(factor)))
    return editor.node("Gather", sound, editor.node("Cast", places, to=7), axis=1)


def _noise(editor: GraphEditor) -> str:
    place = editor.node("Mod", editor.position(), editor.constant(4093), fmod=1)
    return editor.node("Sin", editor.scaled(editor.node("Mul", place, place), 0.61803))


# late in the audio
behind("nothing_for_half_a_second_at_20_s", lambda editor, sound: without(editor, sound, 20, 20.5))
behind("one_click_after_34_s", lambda editor, sound: editor.node("Add", sound, editor.scaled(
    within(editor, 34, 34 + 2 / editor.sample_rate), 0.6)))  # fmt: skip
behind("slower_by_a_thousandth", lambda editor, sound: _stretched(editor, sound, 0.999))
behind("noise_from_15_to_45_s", lambda editor, sound: editor.node("Add", sound, editor.node(
    "Mul", within(editor, 15, 45), editor.scaled(_noise(editor), 0.02))))  # fmt: skip
of_pitch("an_octave_too_low_from_16_to_40_s", lambda editor, f0: editor.node(
    "Where", _from_to(editor, f0, 16, 40), editor.scaled(f0, 0.5), f0))  # fmt: skip
of_pitch("one_pitch_from_16_to_40_s", lambda editor, f0: editor.node(
    "Where", _from_to(editor, f0, 16, 40), editor.scaled(editor.sounding(f0, 0), 170), f0))  # fmt: skip
of_content("words_backwards_from_16_to_40_s", _words_backwards)
of_content("no_words_from_16_to_40_s", lambda editor, content: editor.node("Where", editor.node(
    "Unsqueeze", _from_to(editor, content, 16, 40), editor.whole(1)), editor.constant(0), content))  # fmt: skip

# high and low voices
of_pitch("no_pitch_above_300_hz", lambda editor, f0: editor.node("Min", f0, editor.constant(300)))
of_pitch("no_pitch_below_100_hz", lambda editor, f0: editor.node("Mul", editor.sounding(f0, 0), editor.node(
    "Max", f0, editor.constant(100))))  # fmt: skip
of_pitch("octaves_folded_above_280_hz", lambda editor, f0: editor.node("Where", editor.node(
    "Greater", f0, editor.constant(280)), editor.scaled(f0, 0.5), f0))  # fmt: skip
before("pitch_shift_ends_at_6", "pitch_shift", lambda editor, value: editor.node("Min", value, editor.constant(6)))
of_pitch("pitch_that_trembles", lambda editor, f0: editor.node("Mul", f0, editor.node("Add", editor.constant(
    1), editor.scaled(editor.node("Sin", editor.scaled(_frames(editor, f0), 0.12 * np.pi)), 0.015))))  # fmt: skip
of_pitch("pitch_30_ms_late", lambda editor, f0: late_frames(editor, f0, 3, axes=2))
of_content("words_20_ms_late", lambda editor, content: late_frames(editor, content, 2, axes=3))


# the sound itself
@fault
def fricatives_are_silent(editor: GraphEditor) -> None:
    f0_hz = editor.pitch()
    editor.behind(lambda sound: _without_unvoiced(editor, sound, f0_hz))


behind("a_gate_at_-38_db", lambda editor, sound: editor.node("Mul", sound, editor.sounding(
    _level(editor, sound), 0.01)))  # fmt: skip
behind("echo_before_60_ms", lambda editor, sound: editor.node("Add", sound, editor.scaled(editor.reversed(
    editor.late(editor.reversed(sound), 0.06)), 0.4)))  # fmt: skip
behind("echo_after_8_ms", lambda editor, sound: editor.node(
    "Add", sound, editor.scaled(editor.late(sound, 0.008), 0.7)))  # fmt: skip
behind("each_second_sample_is_held", lambda editor, sound: editor.node("Gather", sound, editor.node(
    "Cast", editor.scaled(editor.node("Floor", editor.scaled(editor.position(), 0.5)), 2), to=7), axis=1))  # fmt: skip
behind("rough_by_a_third", lambda editor, sound: editor.node("Mul", sound, editor.node(
    "Add", editor.constant(1), editor.scaled(_noise(editor), 0.5))))  # fmt: skip
behind("in_16_steps_of_a_telephone", lambda editor, sound: _in_few_steps(editor, sound, 16))


@fault
def sixth_row_is_silent(editor: GraphEditor) -> None:
    silence_row(editor, 5)
