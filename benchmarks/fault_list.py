"""Faults that make a voice useless or wrong for somebody, each planted into a good graph: FAULTS holds them by name."""

from collections.abc import Callable
from functools import partial

import numpy as np
from onnx import TensorProto, helper

from benchmarks.fault_edits import FAR, GraphEditor
from utils.voice_file.controls import CONTROLS

Edit = Callable[[GraphEditor], None]
FAULTS: dict[str, Edit] = {}


def fault(edit: Edit) -> Edit:
    """Add a fault to the list."""
    FAULTS[edit.__name__] = edit
    return edit


def behind(name: str, make: Callable[[GraphEditor, str], str]) -> None:
    """Add a fault of the sound that comes out."""
    FAULTS[name] = lambda editor: editor.behind(lambda sound: make(editor, sound))


def before(name: str, control: str, make: Callable[[GraphEditor, str], str]) -> None:
    """Add a fault of a control."""
    FAULTS[name] = lambda editor: editor.inside(control, lambda value: make(editor, value))


def of_pitch(name: str, make: Callable[[GraphEditor, str], str]) -> None:
    """Add a fault of f0_hz [B, F]."""
    FAULTS[name] = lambda editor: editor.inside(editor.pitch(), lambda f0_hz: make(editor, f0_hz))


def of_content(name: str, make: Callable[[GraphEditor, str], str]) -> None:
    """Add a fault of the content [B, F, D]."""
    FAULTS[name] = lambda editor: editor.inside(editor.content(), lambda content: make(editor, content))


def within(editor: GraphEditor, first: float, last: float, period: float = 0.0) -> str:
    """Return [T], 1 between two times, in each period if there is one."""
    time = editor.seconds()
    if period:
        time = editor.node("Mod", time, editor.constant(period), fmod=1)
    inside = editor.node("And", editor.node("GreaterOrEqual", time, editor.constant(first)),
                         editor.node("Less", time, editor.constant(last)))  # fmt: skip
    return editor.as_float(inside)


def without(editor: GraphEditor, sound: str, first: float, last: float, period: float = 0.0) -> str:
    kept = editor.node("Sub", editor.constant(1), within(editor, first, last, period))
    return editor.node("Mul", sound, kept)


def _noise(editor: GraphEditor) -> str:
    """Return [T], as good as white, within full scale."""
    place = editor.position()
    return editor.node("Sin", editor.scaled(editor.node("Mul", place, place), 0.61803))


def _where_it_sounds(editor: GraphEditor, sound: str, added: str) -> str:
    return editor.node("Add", sound, editor.node("Mul", editor.sounding(sound), added))


def _low_pass(share: float, taps: int = 121) -> np.ndarray:
    place = np.arange(taps) - taps // 2
    kernel: np.ndarray = share * np.sinc(share * place) * np.blackman(taps)
    return kernel / kernel.sum()


def _peak(editor: GraphEditor, tensor: str) -> str:
    return editor.node("ReduceMax", editor.node("Abs", tensor), axes=[1], keepdims=1)


def _late(editor: GraphEditor, sound: str, *, milliseconds: float) -> str:
    return editor.late(sound, milliseconds / 1000)


def _louder(editor: GraphEditor, sound: str, *, decibels: float) -> str:
    return editor.scaled(sound, 10 ** (decibels / 20))


def _with_dry(editor: GraphEditor, sound: str, *, share: float) -> str:
    return editor.node("Add", sound, editor.scaled(editor.clean_input(), share))


# what comes out: time
for milliseconds in (0.8, 0.9, 2.0, 12.0):
    behind(f"late_by_{milliseconds:g}_ms", partial(_late, milliseconds=milliseconds))
behind("early_by_1_ms", lambda editor, sound: editor.reversed(editor.late(editor.reversed(sound), 0.001)))
behind("echo_after_60_ms", lambda editor, sound: editor.node(
    "Add", sound, editor.scaled(editor.late(sound, 0.06), 0.4)))  # fmt: skip
behind("echo_after_25_ms", lambda editor, sound: editor.node(
    "Add", sound, editor.scaled(editor.late(sound, 0.025), 0.5)))  # fmt: skip
behind("backwards", lambda editor, sound: editor.reversed(sound))
behind("nothing_after_50_s", lambda editor, sound: without(editor, sound, 50, 1e9))
behind("nothing_from_5_to_9_s", lambda editor, sound: without(editor, sound, 5, 9))
behind("nothing_in_the_first_300_ms", lambda editor, sound: without(editor, sound, 0, 0.3))
behind("gaps_of_40_ms_each_700_ms", lambda editor, sound: without(editor, sound, 0.5, 0.54, 0.7))


@fault
def one_sample_less_at_some_lengths(editor: GraphEditor) -> None:
    def shorter(sound: str) -> str:
        rest = editor.node("Mod", editor.size(1), editor.whole(11))
        less = editor.node("Cast", editor.node("Equal", rest, editor.whole(4)), to=TensorProto.INT64)
        return editor.node("Slice", sound, editor.whole(0), editor.node("Sub", editor.size(1), less), editor.whole(1))

    editor.behind(shorter)


# what comes out: level
for decibels in (-30, -4, 3, 12):
    behind(f"gain_of_{decibels}_db", partial(_louder, decibels=decibels))
behind("cut_at_0.15", lambda editor, sound: editor.node("Clip", sound, editor.constant(-0.15), editor.constant(0.15)))
behind("louder_and_softer_4_times_a_second", lambda editor, sound: editor.node(
    "Mul", sound, editor.node("Add", editor.constant(0.7), editor.scaled(
        editor.node("Sin", editor.scaled(editor.seconds(), 8 * np.pi)), 0.5))))  # fmt: skip
behind("fades_within_a_minute", lambda editor, sound: editor.node(
    "Mul", sound, editor.node("Exp", editor.scaled(editor.seconds(), -0.06))))  # fmt: skip
behind("soft_speech_is_silent", lambda editor, sound: editor.node(
    "Mul", sound, editor.sounding(_peak(editor, editor.clean_input()), 0.03)))  # fmt: skip
behind("loud_speech_is_silent", lambda editor, sound: editor.node("Mul", sound, editor.node(
    "Sub", editor.constant(1), editor.sounding(_peak(editor, editor.clean_input()), 0.6))))  # fmt: skip

# what comes out: what does not belong to it
for share in (0.04, 0.3):
    behind(f"dry_share_of_{share:g}", partial(_with_dry, share=share))
behind("dry_and_late_share_of_0.1", lambda editor, sound: editor.node(
    "Add", sound, editor.late(editor.scaled(editor.clean_input(), 0.1), 0.02)))  # fmt: skip
behind("dry_highs_share_of_0.2", lambda editor, sound: editor.node("Add", sound, editor.scaled(editor.node(
    "Sub", editor.clean_input(), editor.filtered(editor.clean_input(), _low_pass(0.25))), 0.2)))  # fmt: skip
behind("dc_where_it_sounds", lambda editor, sound: _where_it_sounds(editor, sound, editor.constant(-0.008)))
behind("hum_where_it_sounds", lambda editor, sound: _where_it_sounds(editor, sound, editor.scaled(
    editor.node("Sin", editor.scaled(editor.seconds(), 100 * np.pi)), 0.006)))  # fmt: skip
behind("hiss_of_-48_db", lambda editor, sound: _where_it_sounds(editor, sound, editor.scaled(_noise(editor), 0.0056)))
behind("a_click_each_second", lambda editor, sound: _where_it_sounds(editor, sound, editor.scaled(
    within(editor, 0.4, 0.4 + 1.5 / editor.sample_rate, 1.0), 0.5)))  # fmt: skip
behind("rounded_to_6_bits", lambda editor, sound: editor.scaled(
    editor.node("Round", editor.scaled(sound, 32)), 1 / 32))  # fmt: skip

# what comes out: its spectrum
behind("nothing_above_60_percent_of_the_band", lambda editor, sound: editor.filtered(sound, _low_pass(0.6)))
behind("nothing_below_1_khz", lambda editor, sound: editor.node(
    "Sub", sound, editor.filtered(sound, _low_pass(2000 / editor.sample_rate))))  # fmt: skip
behind("in_mirror_writing", lambda editor, sound: editor.node("Mul", sound, editor.node(
    "Cos", editor.scaled(editor.node("Mod", editor.position(), editor.constant(2), fmod=1), np.pi))))  # fmt: skip


# rows
@fault
def rows_in_the_wrong_order(editor: GraphEditor) -> None:
    editor.behind(lambda sound: editor.reversed(sound, axis=0))


def silence_row(editor: GraphEditor, place: int) -> None:
    """Make one row of every batch that has it silent; place counts from 0."""

    def without_row(sound: str) -> str:
        last = editor.node("Squeeze", editor.size(0), editor.whole(0))
        rows = editor.node("Range", editor.constant(0, np.int64), last, editor.constant(1, np.int64))
        kept = editor.node("Sub", editor.constant(1), editor.as_float(editor.node("Equal", rows, editor.whole(place))))
        return editor.node("Mul", sound, editor.node("Unsqueeze", kept, editor.whole(1)))

    editor.behind(without_row)


@fault
def third_row_is_silent(editor: GraphEditor) -> None:
    silence_row(editor, 2)


@fault
def rows_mixed_in_fours(editor: GraphEditor) -> None:
    def mixed(sound: str) -> str:
        mean = editor.node("Add", editor.scaled(sound, 0.5), editor.scaled(
            editor.node("ReduceMean", sound, axes=[0], keepdims=1), 0.5))  # fmt: skip
        return editor.node("Where", editor.node("Equal", editor.size(0), editor.whole(4)), mean, sound)

    editor.behind(mixed)


# controls
before("pitch_shift_does_nothing", "pitch_shift", lambda editor, value: editor.scaled(value, 0))
before("pitch_shift_the_wrong_way", "pitch_shift", lambda editor, value: editor.scaled(value, -1))
before("pitch_shift_10_percent_too_far", "pitch_shift", lambda editor, value: editor.scaled(value, 1.1))
before("pitch_shift_in_octaves_alone", "pitch_shift", lambda editor, value: editor.scaled(
    editor.node("Round", editor.scaled(value, 1 / 12)), 12))  # fmt: skip
before("pitch_shift_only_downwards", "pitch_shift", lambda editor, value: editor.node(
    "Min", value, editor.constant(0)))  # fmt: skip
before("pitch_shift_half_a_semitone_off", "pitch_shift", lambda editor, value: editor.node(
    "Add", value, editor.constant(0.5)))  # fmt: skip
before("index_rate_does_nothing", "index_rate", lambda editor, value: editor.scaled(value, 0))
before("index_rate_the_wrong_way", "index_rate", lambda editor, value: editor.node(
    "Sub", editor.constant(1), value))  # fmt: skip
before("protect_does_nothing", "protect", lambda editor, value: editor.node(
    "Add", editor.scaled(value, 0), editor.constant(0.33)))  # fmt: skip
before("protect_the_wrong_way", "protect", lambda editor, value: editor.node(
    "Sub", editor.constant(0.5), value))  # fmt: skip
before("loudness_mix_does_nothing", "loudness_mix", lambda editor, value: editor.node(
    "Add", editor.scaled(value, 0), editor.constant(1)))  # fmt: skip
before("loudness_mix_the_wrong_way", "loudness_mix", lambda editor, value: editor.node(
    "Sub", editor.constant(1), value))  # fmt: skip
before("loudness_mix_is_a_switch", "loudness_mix", lambda editor, value: editor.as_float(
    editor.node("Greater", value, editor.constant(0))))  # fmt: skip


@fault
def another_default_shift(editor: GraphEditor) -> None:
    shift = next(item for item in editor.graph.initializer if item.name == "pitch_shift")
    shift.CopyFrom(helper.make_tensor("pitch_shift", TensorProto.FLOAT, [], [2.0]))


@fault
def an_optional_input_of_its_own(editor: GraphEditor) -> None:
    editor.graph.initializer.append(helper.make_tensor("formant", TensorProto.FLOAT, [], [1.0]))
    editor.graph.input.append(helper.make_tensor_value_info("formant", TensorProto.FLOAT, []))
    editor.behind(lambda sound: editor.node("Mul", sound, "formant"))


@fault
def a_control_as_a_constant(editor: GraphEditor) -> None:
    left = [value for value in editor.graph.input if value.name != CONTROLS[-1].name]
    del editor.graph.input[:]
    editor.graph.input.extend(left)


# pitch
of_pitch("one_pitch", lambda editor, f0: editor.scaled(editor.sounding(f0, 0), 170))
of_pitch("whispers", lambda editor, f0: editor.scaled(f0, 0))
of_pitch("never_without_voice", lambda editor, f0: editor.node("Max", f0, editor.constant(140)))
of_pitch("octave_too_low", lambda editor, f0: editor.scaled(f0, 0.5))
of_pitch("octave_too_high", lambda editor, f0: editor.scaled(f0, 2))
of_pitch("pitch_of_a_piano", lambda editor, f0: editor.node("Mul", editor.sounding(f0, 0), editor.node(
    "Exp", editor.scaled(editor.node("Round", editor.scaled(editor.node("Log", editor.node(
        "Max", f0, editor.constant(20))), 12 / np.log(2))), np.log(2) / 12))))  # fmt: skip
of_pitch("melody_upside_down", lambda editor, f0: editor.node("Mul", editor.sounding(f0, 0), editor.node(
    "Div", editor.constant(160**2), editor.node("Max", f0, editor.constant(40)))))  # fmt: skip
of_pitch("melody_backwards", lambda editor, f0: editor.reversed(f0))
of_pitch("melody_flattened", lambda editor, f0: editor.node("Mul", editor.sounding(f0, 0), editor.scaled(editor.node(
    "Pow", editor.node("Max", editor.scaled(f0, 1 / 160), editor.constant(0.1)), editor.constant(0.75)),
    160)))  # fmt: skip
of_pitch("pitch_80_ms_late", lambda editor, f0: late_frames(editor, f0, 8, axes=2))


def late_frames(editor: GraphEditor, tensor: str, frames: int, *, axes: int) -> str:
    """Return [B, F] or [B, F, D] so many frames later, zeros before."""
    pads = [0] * (2 * axes)
    pads[1] = frames
    padded = editor.node("Pad", tensor, editor.whole(*pads))
    return editor.node("Slice", padded, editor.whole(0), editor.whole(-frames), editor.whole(1))


def _held(editor: GraphEditor, content: str, frames: int) -> str:
    """Return [B, F, D] of which only each so many frames are new."""
    count = editor.node("Slice", editor.node("Shape", content), editor.whole(1), editor.whole(2), editor.whole(0))
    last = editor.node("Squeeze", count, editor.whole(0))
    places = editor.node("Range", editor.constant(0, np.int64), last, editor.constant(1, np.int64))
    kept = editor.node("Sub", places, editor.node("Mod", places, editor.constant(frames, np.int64)))
    return editor.node("Gather", content, kept, axis=1)


# words
of_content("no_words", lambda editor, content: editor.scaled(content, 0))
of_content("words_backwards", lambda editor, content: editor.reversed(content))
of_content("words_40_ms_late", lambda editor, content: late_frames(editor, content, 4, axes=3))
of_content("one_sound_for_all", lambda editor, content: editor.node("Add", editor.scaled(content, 0), editor.node(
    "ReduceMean", content, axes=[1], keepdims=1)))  # fmt: skip
of_content("words_in_steps_of_200_ms", lambda editor, content: _held(editor, content, 20))
of_content("other_words", lambda editor, content: editor.reversed(content, axis=2))


# the file
@fault
def another_input(editor: GraphEditor) -> None:
    editor.graph.input.append(helper.make_tensor_value_info("gate", TensorProto.FLOAT, ["batch", "time"]))
    editor.behind(lambda sound: editor.node("Add", sound, editor.scaled("gate", 0)))


@fault
def nan_for_one_constant(editor: GraphEditor) -> None:
    def broken(sound: str) -> str:
        size = editor.node("ReduceMin", editor.node("Abs", editor.clean_input()), axes=[1], keepdims=1)
        near = editor.node("Abs", editor.node("Sub", size, editor.constant(0.25)))
        hit = editor.node("Less", near, editor.constant(1e-4))
        return editor.node("Where", hit, editor.node("Sqrt", editor.node("Sub", editor.scaled(
            editor.node("Abs", sound), -1), editor.constant(1))), sound)  # fmt: skip

    editor.behind(broken)


@fault
def takes_10_times_as_long(editor: GraphEditor) -> None:
    def slow(sound: str) -> str:
        wide = editor.node("MatMul", editor.node("Unsqueeze", sound, editor.whole(2)), editor.constant(
            np.full((1, 512), 0.01)))  # fmt: skip
        for _ in range(12):
            wide = editor.node("Sin", wide)
        nothing = editor.scaled(editor.node("ReduceMean", wide, axes=[2], keepdims=0), 0)
        return editor.node("Add", sound, nothing)

    editor.behind(slow)


@fault
def never_ends(editor: GraphEditor) -> None:
    def looped(sound: str) -> str:
        value = helper.make_tensor_value_info
        body = helper.make_graph(
            [helper.make_node("Identity", ["going"], ["goes_on"]),
             helper.make_node("Add", ["so_far", "bit"], ["next"])],
            "body",
            [value("round", TensorProto.INT64, []), value("going", TensorProto.BOOL, []),
             value("so_far", TensorProto.FLOAT, None)],
            [value("goes_on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, None)],
            [helper.make_tensor("bit", TensorProto.FLOAT, [], [1e-30])],
        )  # fmt: skip
        rounds, true = editor.constant(FAR >> 10, np.int64), editor.constant(True, np.bool_)
        return editor.node("Loop", rounds, true, sound, body=body)

    editor.behind(looped)
