"""Rules of RVC generators: what the programs that load them check, feed and take back."""

import math

import numpy as np

from utils.errors import FormatError
from utils.verification.alignment import spectral_difference_db
from utils.verification.candidate import Candidate
from utils.verification.checks import Check, skipped, verdict
from utils.verification.measures import levels, relative_db
from utils.verification.reference import GeneratorReference
from utils.verification.rvc_client import Features
from utils.voice_file.generator_metadata import generator_metadata_from_json
from utils.voice_file.kinds import client_values
from utils.voice_file.runtime import graph_values
from utils.voice_file.rvc_formats import CLIENT_EMBEDDERS, CLIENT_KEY, FRAMES, OUTPUT, OWN_KEY, RvcGraph, client_facts
from utils.voice_file.signature import FLOAT, GraphValue

LENGTHS = (1, 2, 7, 64, 100, 333)  # frames; the clients feed 0.1 to 50 s
EFFECT_DB = -100.0  # runs repeat bit for bit; an input that is not read changes nothing at all
WINDOWS = ((0, 120, 120), (50, 51, 51), (70, 50, 43), (70, 50, 58), (70, 50, 50), (119, 1, 1))
LONG_WINDOW = 50  # frames, enough to tell one place of the whole from another
APART = 10


def check_inputs(candidate: Candidate) -> Check:
    """Names, order, types and axes of the inputs, and the one output, are those of the program."""
    graph, session, problems = _graph(candidate), candidate.session, []
    expected = [_with_frames(value) for value in graph.inputs]
    found = [_with_frames(value) for value in graph_values(session.get_inputs())]
    if found != expected:
        problems.append(f"inputs {_shown(found)}; {graph.rvc_format.program} feeds {_shown(expected)}")
    if session.get_overridable_initializers():
        problems.append("it has optional inputs, which the program does not know")
    outputs = [(item.name, item.type, len(item.shape)) for item in session.get_outputs()]
    rank = 3 if graph.rvc_format.name == "rvc_webui" else 1
    if outputs != [(OUTPUT, FLOAT, rank)]:
        problems.append(f"outputs {outputs} instead of {OUTPUT} {FLOAT} of rank {rank}")
    return verdict("inputs", problems, _shown(found))


def check_client_metadata(candidate: Candidate) -> Check:
    """The JSON by which the program chooses encoder, layer, rate and pitch says what the voice is."""
    values = client_values(candidate.session)
    if not values:
        return Check("metadata", False, f"no JSON under {CLIENT_KEY!r}: the program would take it for a v1 at 48000 Hz")
    expected = client_facts(_graph(candidate).shape, values.get("embedder"))
    problems = [
        f"{key} is {values.get(key)!r} instead of {value!r}"
        for key, value in expected.items()
        if type(values.get(key)) is not type(value) or values.get(key) != value
    ]
    if values.get("embedder") not in CLIENT_EMBEDDERS:
        problems.append(f"embedder {values.get('embedder')!r} is none of {', '.join(CLIENT_EMBEDDERS)}")
    detail = f"{values.get('embedder')}, layer {values.get('embOutputLayer')}, {values.get('samplingRate')} Hz"
    return verdict("metadata", problems, detail)


def check_conversion(candidate: Candidate, reference: GeneratorReference | None = None) -> Check:
    """Any number of frames gives as many hops of finite audio within full scale, equal to PyTorch's."""
    client, hop = candidate.client, _graph(candidate).shape.hop_length
    problems, parity, last = [], -math.inf, np.zeros(1)
    for count in LENGTHS:
        fed = client.feed(client.features(count, count))
        audio = client.play(fed)
        if audio.shape != (count * hop,):
            problems.append(f"{count} frames give {list(audio.shape)} samples, not {count * hop}")
        elif not np.isfinite(audio).all() or np.abs(audio).max() > 1.0:
            problems.append(f"{count} frames: not finite or beyond full scale")
        elif reference is not None:
            parity = max(parity, relative_db(audio, reference.convert(fed).reshape(-1)))
        last = audio
    problems += _parity_problems(parity, reference)
    figures = {"parity_db": parity} if math.isfinite(parity) else {}
    detail = f"{len(LENGTHS)} lengths from {LENGTHS[0]} to {LENGTHS[-1]} frames, {levels(last)}"
    detail += f"; PyTorch {parity:.0f} dB" * bool(figures)
    return verdict("conversion", problems, detail, figures)


def check_repetition(candidate: Candidate) -> Check:
    """The same features give the same samples, also after others."""
    client = candidate.client
    one, other = (client.feed(client.features(count, count)) for count in (50, 31))
    first = client.play(one)
    client.play(other)
    same = np.array_equal(first, client.play(one))
    return Check("same input, same output", same, "bit for bit" if same else "a second run gives other samples")


def check_effects(candidate: Candidate) -> Check:
    """Content, pitch, noise and, with several speakers, the speaker change the audio."""
    client, graph = candidate.client, _graph(candidate)
    features = client.features(60, 5)
    base = client.play(client.feed(features))
    trials = {"content": client.feed(Features(features.content[::-1], features.f0_hz, features.noise))}
    if graph.shape.has_f0:
        trials["pitch"] = client.feed(Features(features.content, 1.3 * features.f0_hz, features.noise))
    if graph.shape.num_speakers > 1:
        trials["speaker"] = client.feed(features, speaker=1)
    if graph.rvc_format.name == "rvc_webui":
        trials["rnd"] = client.feed(Features(features.content, features.f0_hz, features.noise[:, ::-1]))
    effects = {name: relative_db(client.play(fed), base) for name, fed in trials.items()}
    broken = [name for name, effect in effects.items() if not math.isfinite(effect)]
    idle = [name for name, effect in effects.items() if not effect > EFFECT_DB]
    problems = [f"not finite or of another length when changed: {', '.join(broken)}"] * bool(broken)
    problems += [f"no effect: {', '.join(idle)}"] * bool(idle)
    detail = ", ".join(f"{name} {effect:.0f} dB" for name, effect in effects.items())
    return verdict("inputs take effect", problems, detail)


def check_window(candidate: Candidate, reference: GeneratorReference | None = None) -> Check:
    """The part of the frames that is asked for is decoded, at the length that the formant shift asks for."""
    client, shape = candidate.client, _graph(candidate).shape
    features = client.features(120, 6)
    whole = client.play(client.feed(features))
    problems, parity = [], -math.inf
    for skip, count, length in WINDOWS:
        fed = client.feed(features, window=(skip, count, length))
        audio = client.play(fed)
        if audio.shape != (length * shape.hop_length,) or not np.isfinite(audio).all():
            problems.append(f"{count} frames from {skip} at length {length} give {list(audio.shape)} samples")
            continue
        if length == count and count >= LONG_WINDOW:
            place = _nearest_place(whole, audio, shape.hop_length, shape.sample_rate, wanted=skip)
            problems += [f"{count} frames from {skip} sound like those from {place} of the whole"] * (place != skip)
        if reference is not None:
            parity = max(parity, relative_db(audio, reference.convert(fed).reshape(-1)))
    problems += _parity_problems(parity, reference)
    detail = "skip_head, return_length and formant_length are kept"
    detail += f"; PyTorch {parity:.0f} dB" * (parity > -math.inf)
    return verdict("window", problems, detail)


def check_own_metadata(candidate: Candidate, reference: GeneratorReference | None = None) -> Check:
    """What the graph says of itself to this workbench can be read again."""
    stored = candidate.session.get_modelmeta().custom_metadata_map
    if OWN_KEY not in stored:
        missing = Check("own metadata", False, f"key {OWN_KEY!r} is missing")
        return skipped("own metadata", "none of this workbench") if reference is None else missing
    try:
        values = generator_metadata_from_json(stored[OWN_KEY], candidate.path.name)
    except FormatError as error:
        return Check("own metadata", False, str(error))
    fingerprint = str(values.get("dataset_fingerprint", "unknown"))
    return Check("own metadata", True, f"schema {values['schema_version']}, dataset {fingerprint[:12]}")


def _graph(candidate: Candidate) -> RvcGraph:
    assert candidate.generator is not None
    return candidate.generator


def _parity_problems(parity: float, reference: GeneratorReference | None) -> list[str]:
    if reference is None or not parity > reference.parity_db:
        return []
    return [f"{parity:.1f} dB from PyTorch (allowed {reference.parity_db:.3g})"]


def _nearest_place(whole: np.ndarray, part: np.ndarray, hop_length: int, sample_rate: int, *, wanted: int) -> int:
    """Return the frame of `whole` [N] from which on it sounds most like `part` [M]: `wanted`, or one well apart.

    By spectra, since the decoder begins the phase of the pitch and its noise anew in each window.
    """
    last = (len(whole) - len(part)) // hop_length
    places = [wanted, *(place for place in range(0, last + 1, APART // 2) if abs(place - wanted) >= APART)]
    starts = {place: place * hop_length for place in places}
    return min(
        places,
        key=lambda place: spectral_difference_db(whole[starts[place] : starts[place] + len(part)], part, sample_rate),
    )


def _with_frames(value: GraphValue) -> GraphValue:
    """Return an input with every free axis named as that of the frames."""
    return GraphValue(value.name, value.type, tuple(axis if isinstance(axis, int) else FRAMES for axis in value.shape))


def _shown(values: list[GraphValue]) -> str:
    return ", ".join(f"{value.name} {value.type.removeprefix('tensor')}{list(value.shape)}" for value in values)
