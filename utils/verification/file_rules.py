"""What the file says before any audio is given to it: contents, name, metadata, inputs and outputs."""

import time

import onnxruntime

from utils.errors import ConfigError
from utils.verification.candidate import Candidate
from utils.verification.checks import Check, skipped, verdict
from utils.verification.live_host import numbers_in_name
from utils.verification.reference import GeneratorReference, Reference
from utils.voice_file.control_inputs import CONTROL_VALUES, other_inputs, settable_controls
from utils.voice_file.controls import ALL_CONTROLS
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.metadata import METADATA_KEY, VoiceMetadata
from utils.voice_file.names import check_voice_name, parse_file_name
from utils.voice_file.onnx_contents import FileContents, read_contents
from utils.voice_file.runtime import graph_values, open_session, stored_metadata
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, FLOAT, OPSETS, GraphValue

LARGEST_FILE = 2**31
STANDARD_DOMAINS = {"", "ai.onnx"}
RANDOM_OPERATORS = {
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial",
}  # fmt: skip


def check_file(candidate: Candidate, reference: Reference | GeneratorReference | None = None) -> Check:
    """One self-contained .onnx file of standard operators, in a version that the programs which load it know."""
    contents, size = read_contents(candidate.path), candidate.path.stat().st_size
    problems = _content_problems(contents)
    if size >= LARGEST_FILE:
        problems.append(f"{size} bytes; one ONNX file holds less than {LARGEST_FILE}")
    version = contents.opsets.get("", contents.opsets.get("ai.onnx", 0))
    generator = candidate.generator
    if generator is not None:
        if version != generator.rvc_format.opset:
            problems.append(f"opset {version}; {generator.rvc_format.program} writes {generator.rvc_format.opset}")
        if candidate.path.suffix != ".onnx":
            problems.append(f"{candidate.path.suffix}: the program tells a graph by .onnx")
    elif version not in OPSETS:
        problems.append(f"opset {version}; allowed: {OPSETS.start} to {OPSETS.stop - 1}")
    unused = sorted(set(contents.opsets) - STANDARD_DOMAINS)
    if unused and reference is not None:  # an export names no operators that it does not use
        problems.append(f"operator sets of {', '.join(unused)}")
    detail = (
        f"self-contained, {size / 1e6:.1f} MB, opset {version}, IR {contents.ir_version}, "
        f"{contents.num_nodes} nodes of {len(contents.operators)} kinds"
    )
    return verdict("file", problems, detail, {"size_bytes": float(size), "num_nodes": float(contents.num_nodes)})


def check_loading(candidate: Candidate) -> Check:
    """onnxruntime loads it from memory."""
    started = time.perf_counter()
    session = candidate.session
    seconds = time.perf_counter() - started
    producer = session.get_modelmeta().producer_name or "an unnamed program"
    detail = f"onnxruntime {onnxruntime.__version__}, from memory, in {seconds:.2f} s; made by {producer}"
    return Check("loading", True, detail, {"load_seconds": seconds})


def check_consistency(candidate: Candidate, reference: Reference) -> Check:
    """The checker of the package onnx, with shape inference, finds nothing wrong."""
    import onnx

    problems = []
    try:
        onnx.checker.check_model(str(candidate.path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problems.append(str(error).splitlines()[0])
    return verdict("onnx.checker", problems, f"onnx {onnx.__version__} finds no fault")


def check_simplifier(candidate: Candidate, reference: Reference) -> Check:
    """onnxsim, run again on the file, leaves the controls to be set.

    With its plain defaults it drops every input that has a default value, as it treats those as constants.
    """
    import onnx
    import onnxsim

    simplified, is_valid = onnxsim.simplify(
        onnx.load(str(candidate.path)), mutable_initializer=True, initializers_as_constants=False
    )
    session = open_session(simplified.SerializeToString(), 1)
    metadata = stored_metadata(session, candidate.path.name)
    kept = {item.name for item in settable_controls(session, metadata)}
    required = [item.name for item in other_inputs(session, metadata)]
    passed = is_valid and required == [AUDIO_INPUT] and kept == {control.name for control in reference.controls}
    detail = f"required {required}, overridable {len(kept)} of {len(reference.controls)}"
    return Check("simplifier keeps controls", passed, detail)


def check_name(candidate: Candidate) -> Check:
    """The file name can be read back, by us and token by token by the live host, and agrees with the metadata."""
    problems = []
    if candidate.path.suffix != ".onnx":
        problems.append(f"{candidate.path.suffix}: voclo lists only lower-case .onnx")
    named = parse_file_name(candidate.path)
    try:
        check_voice_name(named.name)
    except ConfigError as error:
        problems.append(str(error))
    written = _numbers(named)
    problems += [
        f"voclo reads {key}={value:g}, the name says {written[key]}"
        for key, value in numbers_in_name(candidate.path).items()
        if value != written[key]
    ]
    metadata = stored_metadata(candidate.session, candidate.path.name)
    problems += _contradictions(named, metadata) if metadata is not None else []
    detail = f"{named.name!r}, {named.sample_rate} Hz, hop {named.hop_length}, window {named.n_fft}"
    detail += "" if metadata is not None else "; no metadata of this workbench"
    return verdict("name", problems, detail)


def check_metadata(candidate: Candidate, reference: Reference | None = None) -> Check:
    """The metadata of this workbench can be read; speakers and rate in it are those of the voice."""
    metadata = stored_metadata(candidate.session, candidate.path.name)
    if metadata is None:
        if reference is None:
            return skipped("metadata", "none of this workbench")
        return Check("metadata", False, f"key {METADATA_KEY!r} is missing")
    problems = []
    if reference is not None and len(metadata.speakers) != reference.num_speakers:
        problems.append(f"{len(metadata.speakers)} speaker(s); the voice has {reference.num_speakers}")
    if reference is not None and metadata.sample_rate != reference.sample_rate:
        problems.append(f"{metadata.sample_rate} Hz; the graph was made for {reference.sample_rate}")
    detail = f"schema {metadata.schema_version}, {len(metadata.speakers)} speaker(s), {metadata.sample_rate} Hz"
    return verdict("metadata", problems, detail)


def check_inputs(candidate: Candidate, reference: Reference | None = None) -> Check:
    """Only `audio`, float32 [batch, time] with free axes, and what it states is required; ours have controls."""
    inputs = other_inputs(candidate.session, candidate.metadata)
    optional = settable_controls(candidate.session, candidate.metadata)
    problems = []
    for value in inputs[1:]:
        fate = "is filled with audio" if value.type == FLOAT else "gets a number guessed from its name or none at all"
        problems.append(f"extra input {value.name} {value.type}: in voclo it {fate}")
    first = inputs[0]
    if (first.name, first.type) != (AUDIO_INPUT, FLOAT):
        problems.append(f"first input is {first.name} {first.type} instead of {AUDIO_INPUT} {FLOAT}")
    problems += _axis_problems(first, reference)
    if candidate.metadata is not None and candidate.lacks_controls:
        problems.append(f"no optional scalar input {', '.join(candidate.lacks_controls)}")
    known = {control.name for control in ALL_CONTROLS}
    unknown = sorted(value.name for value in optional if value.name not in known)
    if unknown and reference is None:
        problems.append(f"optional input {', '.join(unknown[:4])}, which no program knows")
    expected = {CONTROL_VALUES[item.name] for item in reference.controls} if reference is not None else set()
    if reference is not None and set(optional) != expected:
        wrong = sorted(value.name for value in set(optional) ^ expected)
        problems.append(f"optional inputs differ from those of this workbench in {', '.join(wrong)}")
    names = ", ".join(value.name for value in optional) or "none"
    asked = f"{AUDIO_INPUT} and, as it states, {names}" if candidate.asks_for_controls else ""
    return verdict("required input", problems, asked or f"only {AUDIO_INPUT}; optional: {names}")


def check_output(candidate: Candidate, reference: Reference | None = None) -> Check:
    """The first declared output, and the only one, is float32 of rank 2 with free axes."""
    outputs = graph_values(candidate.session.get_outputs())
    first = outputs[0]
    problems = [] if first.type == FLOAT else [f"{first.name} is {first.type} instead of {FLOAT}"]
    if first.name != AUDIO_OUTPUT:
        problems.append(f"first output is {first.name} instead of {AUDIO_OUTPUT}")
    problems += _axis_problems(first, reference)
    if len(outputs) > 1:
        problems.append(f"{len(outputs)} outputs; only the first is ever read")
    return verdict("first output", problems, f"{first.name} {first.type} {list(first.shape)}")


def _content_problems(contents: FileContents) -> list[str]:
    problems = []
    if contents.external:
        names = ", ".join(contents.external[:3])
        problems.append(f"{len(contents.external)} tensor(s) in another file ({names}); a host loads this one alone")
    foreign = sorted(f"{domain}.{name}" for domain, name in contents.operators if domain not in STANDARD_DOMAINS)
    random = sorted(name for _, name in contents.operators if name in RANDOM_OPERATORS)
    problems += [f"operator {name} is not standard" for name in foreign]
    problems += [f"operator {name}: equal input would not give equal output" for name in random]
    return problems + [f"{contents.num_functions} local function(s)"] * bool(contents.num_functions)


def _numbers(named: FileGeometry | VoiceMetadata) -> dict[str, int]:
    return {"sr": named.sample_rate, "hop": named.hop_length, "nfft": named.n_fft}


def _contradictions(named: FileGeometry, metadata: VoiceMetadata) -> list[str]:
    """Return in what a name and the metadata inside do not agree."""
    written, inside = _numbers(named), _numbers(metadata)
    problems = [
        f"{key}{written[key]} in the name, {inside[key]} inside" for key in written if written[key] != inside[key]
    ]
    if ("stream" in metadata.extra) != named.is_stream:
        problems.append(
            "streams end in _stream.onnx, other graphs do not; by its metadata this one should be named otherwise"
        )
    if metadata.name != named.name:
        problems.append(f"the name says {named.name!r}, the metadata {metadata.name!r}")
    return problems


def _axis_problems(value: GraphValue, reference: Reference | None) -> list[str]:
    if len(value.shape) != 2:
        return [f"{value.name} has rank {len(value.shape)}; voclo reads rank 2 and passes the dry voice for rank 3"]
    if any(isinstance(axis, int) for axis in value.shape):
        return [f"{value.name} has fixed axes {list(value.shape)}; both must be free"]
    if reference is not None and value.shape != ("batch", "time"):
        return [f"the axes of {value.name} are {list(value.shape)} instead of [batch, time]"]
    return []
