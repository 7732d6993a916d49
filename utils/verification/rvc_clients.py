"""The programs that load an RVC generator, re-enacted: what they check, what they feed and what they take back.

Sources: see utils/voice_file/rvc_formats.py. Imports no torch.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime

from utils.verification.alignment import spectral_difference_db
from utils.verification.candidate import levels, relative_db
from utils.verification.checks import Check
from utils.verification.file_rules import LARGEST_FILE, RANDOM_OPERATORS, STANDARD_DOMAINS
from utils.voice_file.kinds import client_values
from utils.voice_file.onnx_contents import read_contents
from utils.voice_file.runtime import open_session
from utils.voice_file.rvc_formats import (
    CLIENT_EMBEDDERS,
    CLIENT_KEY,
    CLIENT_VERSION,
    FRAMES,
    LAYERS,
    OUTPUT,
    GeneratorShape,
    RvcFormat,
    inputs_of,
)
from utils.voice_file.signature import FLOAT, HALF

PARITY_DB = -80.0
LENGTHS = (1, 2, 7, 64, 100, 333)  # frames; the clients feed 0.1 to 50 s
BINS = (1, 255)
EFFECT_DB = -100.0  # runs repeat bit for bit; an input that is not read changes nothing at all
WINDOWS = ((0, 120, 120), (50, 51, 51), (70, 50, 43), (70, 50, 58), (70, 50, 50), (119, 1, 1))
LONG_WINDOW = 50  # frames, enough to tell one place of the whole from another
APART = 10
log = logging.getLogger(__name__)

Feed = dict[str, np.ndarray]
Reference = Callable[[Feed], np.ndarray]


@dataclass(frozen=True)
class Features:
    """What a client has computed: content [F, D], f0_hz [F] with 0 = unvoiced, noise [C, F]."""

    content: np.ndarray
    f0_hz: np.ndarray
    noise: np.ndarray

    @property
    def bins(self) -> np.ndarray:
        """Coarse pitch as every client quantises it: 254 steps even in mel from 50 to 1100 Hz, 1 to 255."""
        low, high, mel = (1127 * np.log(1 + hz / 700) for hz in (50.0, 1100.0, self.f0_hz))
        return np.rint(np.clip((mel - low) * 254 / (high - low) + 1, *BINS)).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class GeneratorCandidate:
    """The graph under test.

    Attributes:
        path: the file.
        rvc_format: of the program that will load it.
        shape: what the voice is.
        precision: of the export.
        reference: what the PyTorch voice makes of a feed; None without it.
        parity_db: largest allowed difference from the reference, relative to its level.
    """

    path: Path
    rvc_format: RvcFormat
    shape: GeneratorShape
    precision: str = "fp32"
    reference: Reference | None = None
    parity_db: float = PARITY_DB

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The graph as the client opens it."""
        return open_session(self.path, 1)

    def features(self, count: int, seed: int) -> Features:
        """Return random features of `count` frames, a third of them unvoiced."""
        rng = np.random.default_rng(seed)
        f0_hz = 220 * 2 ** rng.uniform(-1, 1, count)
        f0_hz[: count // 3] = 0.0
        content = rng.standard_normal((count, self.shape.content_dim))
        return Features(content, f0_hz, rng.standard_normal((self.shape.channels, count)))

    def feed(self, features: Features, speaker: int = 0, window: tuple[int, int, int] | None = None) -> Feed:
        """Return what the client gives: RVC-WebUI by the position of the inputs, the others by their names."""
        count = len(features.f0_hz)
        half = self.session.get_inputs()[0].type == HALF  # w-okada's program looks at the first input alone
        content = features.content[None].astype(np.float16 if half else np.float32)
        pitch = [features.bins[None], features.f0_hz[None].astype(np.float32)] * self.shape.has_f0
        known = [content, np.array([count], np.int64), *pitch, np.array([speaker], np.int64)]
        if self.rvc_format.name == "rvc_webui":
            known.append(features.noise[None].astype(np.float32))
            names = [item.name for item in self.session.get_inputs()]
        else:
            names = ["feats", "p_len", *(["pitch", "pitchf"] * self.shape.has_f0), "sid"]
        fed = dict(zip(names, known, strict=False))
        if self.rvc_format.name == "deiteris":
            values = window or (0, count, count)
            fed |= {
                name: np.array(value, np.int64)
                for name, value in zip(("skip_head", "return_length", "formant_length"), values, strict=True)
            }
        return fed

    def play(self, fed: Feed) -> np.ndarray:
        """Return [N] as the client takes it from the graph."""
        if self.rvc_format.name == "rvc_webui":
            output: np.ndarray = np.squeeze(self.session.run(None, fed)[0])
            return output.reshape(-1) if output.ndim == 0 else output
        output = self.session.run([OUTPUT], fed)[0]
        if self.rvc_format.name == "wokada" and self._version != CLIENT_VERSION:
            return np.clip(output[0, 0], -1, 1)
        return output

    @property
    def _version(self) -> str:
        return str(client_values(self.session).get("version", ""))


def check_generator(candidate: GeneratorCandidate) -> list[Check]:
    """Apply every rule; a rule that crashes counts as failed and the others still run."""
    rules: list[tuple[str, Callable[[GeneratorCandidate], Check]]] = [
        ("file", check_file),
        ("inputs", check_inputs),
        *([("metadata", check_metadata)] if candidate.rvc_format.has_client_metadata else []),
        ("conversion", check_conversion),
        ("same input, same output", check_repetition),
        ("inputs take effect", check_effects),
        *([("window", check_window)] if candidate.rvc_format.name == "deiteris" else []),
    ]
    return [_attempt(name, rule, candidate) for name, rule in rules]


def check_file(candidate: GeneratorCandidate) -> Check:
    """One self-contained file of standard operators in the version that the program's own exporter writes."""
    contents = read_contents(candidate.path)
    size = candidate.path.stat().st_size
    version = contents.opsets.get("", contents.opsets.get("ai.onnx", 0))
    problems = [f"weights in another file ({', '.join(contents.external[:3])})"] * bool(contents.external)
    problems += [f"operator {domain}.{name} is not standard" for domain, name in sorted(contents.operators)
                 if domain not in STANDARD_DOMAINS]  # fmt: skip
    problems += [f"operator {name}: equal input would not give equal output" for _, name in sorted(contents.operators)
                 if name in RANDOM_OPERATORS]  # fmt: skip
    if version != candidate.rvc_format.opset:
        problems.append(f"opset {version}; {candidate.rvc_format.program} writes {candidate.rvc_format.opset}")
    if size >= LARGEST_FILE:
        problems.append(f"{size} bytes; one ONNX file holds less than {LARGEST_FILE}")
    if candidate.path.suffix != ".onnx":
        problems.append(f"{candidate.path.suffix}: the program tells a graph by .onnx")
    detail = f"self-contained, {size / 1e6:.1f} MB, opset {version}"
    return Check("file", not problems, "; ".join(problems) or detail, {"size_bytes": float(size)})


def check_inputs(candidate: GeneratorCandidate) -> Check:
    """Names, order, types and axes of the inputs, and the one output."""
    session, problems = candidate.session, []
    expected = [(item.name, item.type, [_axis(axis) for axis in item.shape])
                for item in inputs_of(candidate.rvc_format, candidate.shape, candidate.precision)]  # fmt: skip
    found = [(item.name, item.type, [_axis(axis) for axis in item.shape]) for item in session.get_inputs()]
    if found != expected:
        problems.append(f"inputs {_shown(found)}; {candidate.rvc_format.program} feeds {_shown(expected)}")
    if session.get_overridable_initializers():
        problems.append("it has optional inputs, which the program does not know")
    outputs = [(item.name, item.type, len(item.shape)) for item in session.get_outputs()]
    rank = 3 if candidate.rvc_format.name == "rvc_webui" else 1
    if outputs != [(OUTPUT, FLOAT, rank)]:
        problems.append(f"outputs {outputs} instead of {OUTPUT} {FLOAT} of rank {rank}")
    return Check("inputs", not problems, "; ".join(problems) or _shown(found))


def check_metadata(candidate: GeneratorCandidate) -> Check:
    """The JSON by which the program chooses encoder, layer, rate and pitch."""
    values, shape = client_values(candidate.session), candidate.shape
    if not values:
        return Check("metadata", False, f"no JSON under {CLIENT_KEY!r}: the program would take it for a v1 at 48000 Hz")
    version = "v2" if shape.content_dim == 768 else ""
    expected = {
        "application": "VC_CLIENT",
        "version": CLIENT_VERSION,
        "modelType": f"pyTorchRVC{version}{'' if shape.has_f0 else 'Nono'}",
        "samplingRate": shape.sample_rate,
        "f0": shape.has_f0,
        "embChannels": shape.content_dim,
        "embOutputLayer": LAYERS.get(shape.content_dim),
        "useFinalProj": shape.content_dim == 256,
    }
    problems = [f"{key} is {values.get(key)!r} instead of {value!r}" for key, value in expected.items()
                if type(values.get(key)) is not type(value) or values.get(key) != value]  # fmt: skip
    if values.get("embedder") not in CLIENT_EMBEDDERS:
        problems.append(f"embedder {values.get('embedder')!r} is none of {', '.join(CLIENT_EMBEDDERS)}")
    detail = f"{values.get('embedder')}, layer {values.get('embOutputLayer')}, {values.get('samplingRate')} Hz"
    return Check("metadata", not problems, "; ".join(problems) or detail)


def check_conversion(candidate: GeneratorCandidate) -> Check:
    """Any number of frames gives as many hops of finite audio within full scale, equal to PyTorch's."""
    problems, parity, last = [], -math.inf, np.zeros(1)
    for count in LENGTHS:
        fed = candidate.feed(candidate.features(count, count))
        audio = candidate.play(fed)
        if audio.shape != (count * candidate.shape.hop_length,):
            problems.append(
                f"{count} frames give {list(audio.shape)} samples, not {count * candidate.shape.hop_length}"
            )
        elif not np.isfinite(audio).all() or np.abs(audio).max() > 1.0:
            problems.append(f"{count} frames: not finite or beyond full scale")
        elif candidate.reference is not None:
            parity = max(parity, relative_db(audio, candidate.reference(fed).reshape(-1)))
        last = audio
    if parity > candidate.parity_db:
        problems.append(f"{parity:.1f} dB from PyTorch (allowed {candidate.parity_db:.3g})")
    figures = {"parity_db": parity} if math.isfinite(parity) else {}
    detail = f"{len(LENGTHS)} lengths from {LENGTHS[0]} to {LENGTHS[-1]} frames, {levels(last)}"
    detail += f"; PyTorch {parity:.0f} dB" * bool(figures)
    return Check("conversion", not problems, "; ".join(problems) or detail, figures)


def check_repetition(candidate: GeneratorCandidate) -> Check:
    """The same features give the same samples, also after others."""
    one, other = (candidate.feed(candidate.features(count, count)) for count in (50, 31))
    first = candidate.play(one)
    candidate.play(other)
    same = np.array_equal(first, candidate.play(one))
    return Check("same input, same output", same, "bit for bit" if same else "a second run gives other samples")


def check_effects(candidate: GeneratorCandidate) -> Check:
    """Content, pitch, noise and, with several speakers, the speaker change the audio."""
    features = candidate.features(60, 5)
    base = candidate.play(candidate.feed(features))
    trials = {"content": candidate.feed(Features(features.content[::-1], features.f0_hz, features.noise))}
    if candidate.shape.has_f0:
        trials["pitch"] = candidate.feed(Features(features.content, 1.3 * features.f0_hz, features.noise))
    if candidate.shape.num_speakers > 1:
        trials["speaker"] = candidate.feed(features, speaker=1)
    if candidate.rvc_format.name == "rvc_webui":
        trials["rnd"] = candidate.feed(Features(features.content, features.f0_hz, features.noise[:, ::-1]))
    effects = {name: relative_db(candidate.play(fed), base) for name, fed in trials.items()}
    broken = [name for name, effect in effects.items() if not math.isfinite(effect)]
    idle = [name for name, effect in effects.items() if not effect > EFFECT_DB]
    problems = [f"not finite or of another length when changed: {', '.join(broken)}"] * bool(broken)
    problems += [f"no effect: {', '.join(idle)}"] * bool(idle)
    detail = ", ".join(f"{name} {effect:.0f} dB" for name, effect in effects.items())
    return Check("inputs take effect", not problems, "; ".join(problems) or detail)


def check_window(candidate: GeneratorCandidate) -> Check:
    """The part of the frames that is asked for is decoded, at the length that the formant shift asks for."""
    features, hop = candidate.features(120, 6), candidate.shape.hop_length
    whole = candidate.play(candidate.feed(features))
    problems, parity = [], -math.inf
    for skip, count, length in WINDOWS:
        fed = candidate.feed(features, window=(skip, count, length))
        audio = candidate.play(fed)
        if audio.shape != (length * hop,) or not np.isfinite(audio).all():
            problems.append(f"{count} frames from {skip} at length {length} give {list(audio.shape)} samples")
            continue
        if length == count and count >= LONG_WINDOW:
            heard = _nearest_place(whole, audio, candidate.shape, skip)
            problems += [f"{count} frames from {skip} sound like those from {heard} of the whole"] * (heard != skip)
        if candidate.reference is not None:
            parity = max(parity, relative_db(audio, candidate.reference(fed).reshape(-1)))
    if parity > candidate.parity_db:
        problems.append(f"{parity:.1f} dB from PyTorch (allowed {candidate.parity_db:.3g})")
    detail = "skip_head, return_length and formant_length are kept" + f"; PyTorch {parity:.0f} dB" * (
        parity > -math.inf
    )
    return Check("window", not problems, "; ".join(problems) or detail)


def _nearest_place(whole: np.ndarray, part: np.ndarray, shape: GeneratorShape, wanted: int) -> int:
    """Return the frame of `whole` [N] from which on it sounds most like `part` [M]: `wanted`, or one well apart.

    By spectra, since the decoder begins the phase of the pitch and its noise anew in each window.
    """
    last = (len(whole) - len(part)) // shape.hop_length
    places = [wanted, *(place for place in range(0, last + 1, APART // 2) if abs(place - wanted) >= APART)]
    starts = {place: place * shape.hop_length for place in places}
    return min(
        places,
        key=lambda place: spectral_difference_db(
            whole[starts[place] : starts[place] + len(part)], part, shape.sample_rate
        ),
    )


def _attempt(name: str, rule: Callable[[GeneratorCandidate], Check], candidate: GeneratorCandidate) -> Check:
    try:
        return rule(candidate)
    except Exception as error:  # whatever a strange file does to a rule is that rule's outcome
        log.debug("rule %s crashed", name, exc_info=True)
        lines = str(error).strip().splitlines()
        return Check(name, False, f"{type(error).__name__}: {lines[0][:240] if lines else 'no reason given'}")


def _axis(axis: int | str | None) -> int | str:
    return axis if isinstance(axis, int) else FRAMES


def _shown(values: list[tuple[str, str, list[int | str]]]) -> str:
    return ", ".join(f"{name} {kind.removeprefix('tensor')}{list(shape)}" for name, kind, shape in values)
