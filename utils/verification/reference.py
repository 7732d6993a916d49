"""Proof that an exported graph keeps the contract and equals the PyTorch voice."""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from utils.export.graph import control_tensors, graph_nodes
from utils.verification.candidate import decibels, limit_of_parity_db, own_change_db
from utils.verification.checks import Check
from utils.verification.control_rules import other_values
from utils.verification.signals import hostile, speech_like
from utils.voice_file.controls import CONTROLS, ControlDefaults, control_arrays
from utils.voice_file.metadata import METADATA_KEY, metadata_from_json
from utils.voice_file.names import parse_file_name
from utils.voice_file.runtime import open_session
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, OPSETS

SILENCE_PEAK = 1e-4  # -80 dB of full scale
EFFECT = 1e-3  # smallest relative change that counts as an effect of a control
RANDOM_OPERATORS = {
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"
}  # fmt: skip
STANDARD_DOMAINS = {"", "ai.onnx"}
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is verified.

    Attributes:
        path: the exported file.
        voice: the module it was made from.
        sample_rate: rate of the graph's input and output.
        defaults: values the controls must have by themselves.
        num_speakers: voices inside the graph.
        has_retrieval: whether index_rate and protect can have an effect.
        has_pitch: whether pitch_shift can have one.
        tolerance: largest allowed relative RMS difference between graph and module.
        recordings: [T] excerpts of real recordings at the sample rate, tried beside the synthetic ones.
    """

    path: Path
    voice: nn.Module
    sample_rate: int
    defaults: ControlDefaults
    num_speakers: int
    has_retrieval: bool
    tolerance: float
    recordings: tuple[np.ndarray, ...] = ()
    has_pitch: bool = True

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """One-threaded session, loaded from memory as runtimes do that cannot follow external data."""
        return open_session(self.path.read_bytes(), 1)

    def run(self, audio: np.ndarray, **controls: float) -> np.ndarray:
        """Return the graph's output [B, T]; controls that are not given keep their defaults."""
        return run_graph(self.session, audio, controls)

    def reference(self, audio: np.ndarray, values: ControlDefaults) -> np.ndarray:
        """Return the module's output [B, T]."""
        with torch.no_grad():
            output: np.ndarray = self.voice(torch.from_numpy(audio), *control_tensors(values)).numpy()
        return output


def run_graph(session: onnxruntime.InferenceSession, audio: np.ndarray, controls: dict[str, float]) -> np.ndarray:
    """Run [B, T] float32 audio through a graph, overriding the named controls."""
    feed = {AUDIO_INPUT: audio, **control_arrays(controls)}
    output: np.ndarray = session.run([AUDIO_OUTPUT], feed)[0]
    return output


def verify(subject: Subject) -> list[Check]:
    """Apply every rule; a rule that crashes counts as failed and the others still run."""
    rules: list[tuple[str, Callable[[Subject], Check]]] = [
        ("file", check_file),
        ("signature", check_signature),
        ("metadata", check_metadata),
        ("simplifier keeps controls", check_simplifier),
        ("parity with PyTorch", check_parity),
        ("length rule", check_lengths),
        ("silence", check_silence),
        ("finite output", check_finite),
        ("same input, same output", check_determinism),
        ("batch rows independent", check_batch),
        ("defaults", check_defaults),
        ("controls take effect", check_controls),
        ("output differs from input", check_conversion),
    ]
    outcomes = []
    for name, rule in rules:
        try:
            outcomes.append(finite_figures(rule(subject)))
        except Exception as error:  # whatever a strange file does to a rule is that rule's outcome
            log.debug("rule %s crashed", name, exc_info=True)
            text = str(error).strip().splitlines()
            outcomes.append(Check(name, False, f"{type(error).__name__}: {text[0][:200] if text else ''}"))
    return outcomes


def finite_figures(check: Check) -> Check:
    """Return a check without the figures that JSON cannot hold."""
    return replace(check, figures={key: value for key, value in check.figures.items() if math.isfinite(value)})


def check_file(subject: Subject) -> Check:
    """One self-contained file of standard operators in a version that runtimes of the last years know."""
    model = onnx.load(str(subject.path), load_external_data=False)
    nodes = graph_nodes(model.graph)
    versions = {item.domain or "ai.onnx": item.version for item in model.opset_import}
    problems = [f"operator {node.domain}.{node.op_type}" for node in nodes if node.domain not in STANDARD_DOMAINS] + [
        f"random operator {node.op_type}" for node in nodes if node.op_type in RANDOM_OPERATORS
    ]
    if set(versions) != {"ai.onnx"} or versions["ai.onnx"] not in OPSETS:
        problems.append(f"operator sets {versions}")
    if model.functions:
        problems.append(f"{len(model.functions)} local functions")
    if any(item.data_location == onnx.TensorProto.EXTERNAL for item in model.graph.initializer):
        problems.append("weights outside the file")
    try:
        onnx.checker.check_model(str(subject.path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problems.append(f"onnx.checker: {str(error).splitlines()[0]}")
    size = subject.path.stat().st_size
    detail = f"opset {versions.get('ai.onnx')}, IR {model.ir_version}, {len(nodes)} nodes, {size / 1e6:.1f} MB"
    figures = {"num_nodes": float(len(nodes)), "size_bytes": float(size)}
    return Check("file", not problems, "; ".join(problems) or detail, figures)


def check_signature(subject: Subject) -> Check:
    """One required input, one output, both float32 [batch, time]; every control an overridable scalar."""
    session, problems = subject.session, []
    for values, name in ((session.get_inputs(), AUDIO_INPUT), (session.get_outputs(), AUDIO_OUTPUT)):
        shown = [(value.name, value.type, value.shape) for value in values]
        if shown != [(name, "tensor(float)", ["batch", "time"])]:
            problems.append(f"expected only {name} float32 [batch, time], got {shown}")
    expected = {(item.name, "tensor(int64)" if item.is_integer else "tensor(float)", ()) for item in CONTROLS}
    found = {(item.name, item.type, tuple(item.shape)) for item in session.get_overridable_initializers()}
    if found != expected:
        problems.append(f"overridable inputs {sorted(found)} instead of {sorted(expected)}")
    names = ", ".join(control.name for control in CONTROLS)
    return Check("signature", not problems, "; ".join(problems) or f"requires only {AUDIO_INPUT}; overridable: {names}")


def check_metadata(subject: Subject) -> Check:
    """The metadata inside agrees with the file name."""
    stored = subject.session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in stored:
        return Check("metadata", False, f"key {METADATA_KEY!r} is missing")
    metadata = metadata_from_json(stored[METADATA_KEY], subject.path.name)
    named = parse_file_name(subject.path)
    inside = (metadata.name, metadata.sample_rate, metadata.hop_length, metadata.n_fft)
    outside = (named.name, named.sample_rate, named.hop_length, named.n_fft)
    speakers_agree = len(metadata.speakers) == subject.num_speakers
    detail = f"schema {metadata.schema_version}, {len(metadata.speakers)} speaker(s), {metadata.sample_rate} Hz"
    passed = inside == outside and speakers_agree and metadata.sample_rate == subject.sample_rate
    return Check("metadata", passed, detail if passed else f"inside {inside}, in the file name {outside}; {detail}")


def check_simplifier(subject: Subject) -> Check:
    """onnxsim, run again on the file, leaves the controls overridable.

    With its plain defaults it drops every input that has a default value, as it treats those as constants.
    """
    import onnxsim

    simplified, is_valid = onnxsim.simplify(
        onnx.load(str(subject.path)), mutable_initializer=True, initializers_as_constants=False
    )
    session = open_session(simplified.SerializeToString(), 1)
    kept = {item.name for item in session.get_overridable_initializers()}
    required = [item.name for item in session.get_inputs()]
    passed = is_valid and required == [AUDIO_INPUT] and kept == {control.name for control in CONTROLS}
    detail = f"required {required}, overridable {len(kept)} of {len(CONTROLS)}"
    return Check("simplifier keeps controls", passed, detail)


def check_parity(subject: Subject) -> Check:
    """Graph and module agree on lengths from 1 sample to seconds, in batches and with other control values."""
    rate = subject.sample_rate
    other = other_values(subject.num_speakers)
    trials: list[tuple[np.ndarray, ControlDefaults]] = [
        (speech_like(rate, length, seed)[None], subject.defaults)
        for seed, length in enumerate((1, rate // 100 - 1, rate // 10, 7919, round(1.7 * rate) + 1, 4 * rate))
    ]
    pair = np.stack([speech_like(rate, rate + 331, 7), speech_like(rate, rate + 331, 8)])
    trials += [(pair, subject.defaults), (pair, other)]
    trials += [(recording[None], subject.defaults) for recording in subject.recordings]
    differences, absolute, is_near, words = [], 0.0, True, ""
    for audio, values in trials:
        controls = {name: value for name, value in asdict(values).items() if values is not subject.defaults}
        expected, got = subject.reference(audio, values), subject.run(audio, **controls)
        if got.shape != expected.shape:
            return Check("parity with PyTorch", False, f"shape {got.shape} instead of {expected.shape}")
        if not np.isfinite(got).all():
            given = ", ".join(f"{name}={value:g}" for name, value in controls.items()) or "the default controls"
            return Check("parity with PyTorch", False, f"not finite for {audio.shape[1]} samples with {given}")
        difference = relative_difference(got, expected)
        if not difference <= subject.tolerance:
            own = own_change_db(partial(subject.reference, values=values), audio)
            is_near &= decibels(difference) <= limit_of_parity_db(decibels(subject.tolerance), own)
            words = f"; the voice itself moves by {own:.0f} dB when the last bit of an input changes"
        differences.append(difference)
        absolute = max(absolute, float(np.abs(got - expected).max(initial=0.0)))
    relative = max(differences)
    lengths = f"{len(trials)} trials, 1 to {max(audio.shape[1] for audio, _ in trials)} samples"
    detail = f"relative RMS {relative:.1e} (allowed {subject.tolerance:.0e}), largest {absolute:.1e}; {lengths}{words}"
    figures = {"parity_relative_rms": relative, "parity_max_abs": absolute}
    return Check("parity with PyTorch", is_near, detail, figures, is_warning=bool(words))


def check_lengths(subject: Subject) -> Check:
    """As many samples come out as went in, from one sample on."""
    hop = subject.sample_rate // 100
    blocks = {value + step for value in (hop, 2 * hop, 10 * hop, 4410, 4800, 19200) for step in (-1, 0, 1)}
    lengths = sorted({*range(1, 25), 63, 64, 65, 127, 128, 512, 1023, 1024, *blocks})
    source = speech_like(subject.sample_rate, max(lengths), 3)[None]
    wrong = [length for length in lengths if subject.run(source[:, :length]).shape != (1, length)]
    detail = f"wrong for {wrong}" if wrong else f"{len(lengths)} lengths from 1 to {max(lengths)} samples"
    return Check("length rule", not wrong, detail)


def check_silence(subject: Subject) -> Check:
    """Zeros give silence."""
    lengths = (1, subject.sample_rate // 10, 2 * subject.sample_rate + 1)
    peaks = [np.abs(subject.run(np.zeros((1, length), np.float32))).max() for length in lengths]
    peak = float(np.max(peaks))  # NaN if one of them is
    detail = f"peak {peak:.1e} (allowed {SILENCE_PEAK:.0e})"
    return Check("silence", peak <= SILENCE_PEAK, detail, {"silence_peak": peak})


def check_finite(subject: Subject) -> Check:
    """No input makes NaN or infinity."""
    inputs = hostile(subject.sample_rate)
    outputs = {name: subject.run(audio) for name, audio in inputs.items()}
    wrong = [name for name, output in outputs.items() if not np.isfinite(output).all()]
    peak = max((float(np.abs(outputs[name]).max()) for name in outputs if name not in wrong), default=0.0)
    detail = f"not finite for: {', '.join(wrong)}" if wrong else f"{len(inputs)} hostile inputs, peak {peak:.2f}"
    return Check("finite output", not wrong, detail)


def check_determinism(subject: Subject) -> Check:
    """Two runs and two sessions give the same samples."""
    audio = speech_like(subject.sample_rate, subject.sample_rate + 17, 4)[None]
    first, second = subject.run(audio), subject.run(audio)
    other = run_graph(open_session(subject.path, 1), audio, {})
    passed = np.array_equal(first, second) and np.array_equal(first, other)
    return Check("same input, same output", passed, "bit for bit" if passed else "runs differ")


def check_batch(subject: Subject) -> Check:
    """Each row of a batch is converted as if it were alone, also beside a broken one."""
    length = subject.sample_rate + 7
    rows = np.stack([speech_like(subject.sample_rate, length, 5), speech_like(subject.sample_rate, length, 6)])
    together = subject.run(rows)
    alone = np.concatenate([subject.run(row[None]) for row in rows])
    broken = np.stack([rows[0], np.full(length, np.nan, np.float32)])
    beside_broken = subject.run(broken)[:1]
    worst = max(relative_difference(together, alone), relative_difference(beside_broken, alone[:1]))
    return Check("batch rows independent", worst <= subject.tolerance, f"relative RMS {worst:.1e}")


def check_defaults(subject: Subject) -> Check:
    """Leaving the controls out equals giving their documented defaults."""
    audio = speech_like(subject.sample_rate, subject.sample_rate, 9)[None]
    silent, explicit = subject.run(audio), subject.run(audio, **asdict(subject.defaults))
    passed = np.array_equal(silent, explicit)
    return Check("defaults", passed, f"{'equal to' if passed else 'differ from'} the documented values")


def check_controls(subject: Subject) -> Check:
    """Each control changes the output when its value changes, unless the voice gives it nothing to act on."""
    audio = speech_like(subject.sample_rate, 2 * subject.sample_rate, 10)[None]
    effects: dict[str, float] = {}
    for control in CONTROLS:
        if control.name == "speaker_id" and subject.num_speakers < 2:
            continue
        if control.name in ("index_rate", "protect") and not subject.has_retrieval:
            continue
        if control.name == "pitch_shift" and not subject.has_pitch:
            continue
        others = {"index_rate": 1.0} if control.name == "protect" else {}
        low, high = (subject.run(audio, **others, **{control.name: value}) for value in control.trial)
        effects[control.name] = relative_difference(high, low)
    broken = [name for name, effect in effects.items() if not math.isfinite(effect)]
    idle = [name for name, effect in effects.items() if not effect >= EFFECT]
    skipped = [control.name for control in CONTROLS if control.name not in effects]
    detail = ", ".join(f"{name} {effect:.2g}" for name, effect in effects.items())
    if skipped:
        detail += f"; nothing to act on: {', '.join(skipped)}"
    figures = {f"effect_{name}": effect for name, effect in effects.items()}
    problems = [f"not finite at one of its values: {', '.join(broken)}"] * bool(broken)
    problems += [f"no effect: {', '.join(idle)}"] * bool(idle)
    return Check("controls take effect", not problems, "; ".join(problems) or detail, figures)


def check_conversion(subject: Subject) -> Check:
    """The output is not the input."""
    audio = speech_like(subject.sample_rate, 2 * subject.sample_rate, 11)[None]
    difference = relative_difference(subject.run(audio), audio)
    passed = math.isfinite(difference) and difference > EFFECT
    return Check("output differs from input", passed, f"relative RMS {difference:.2g}")


def relative_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Return RMS(got - expected) / RMS(expected); an expected RMS below -60 dB counts as -60 dB.

    Infinite where either is not finite everywhere, so that no comparison lets NaN pass.
    """
    if not expected.size:
        return 0.0
    if not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.inf
    difference = np.sqrt(np.mean(np.square(got.astype(np.float64) - expected)))
    return float(difference / max(np.sqrt(np.mean(np.square(expected.astype(np.float64)))), 1e-3))
