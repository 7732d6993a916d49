"""What the file says before any audio is given to it: contents, name, inputs and outputs."""

import time

import onnxruntime

from utils.errors import ConfigError
from utils.verification.candidate import Candidate
from utils.verification.checks import Check
from utils.verification.live_host import numbers_in_name
from utils.voice_file.metadata import METADATA_KEY, metadata_from_json
from utils.voice_file.names import check_voice_name, parse_file_name
from utils.voice_file.onnx_contents import read_contents
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, FLOAT, OPSETS

LARGEST_FILE = 2**31
STANDARD_DOMAINS = {"", "ai.onnx"}
RANDOM_OPERATORS = {
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial",
}  # fmt: skip


def check_file(candidate: Candidate) -> Check:
    """One self-contained file of standard operators, in a version that runtimes of the last years know."""
    contents = read_contents(candidate.path)
    size = candidate.path.stat().st_size
    problems = []
    if contents.external:
        names = ", ".join(contents.external[:3])
        problems.append(f"{len(contents.external)} tensor(s) in another file ({names}); a host loads this one alone")
    if size >= LARGEST_FILE:
        problems.append(f"{size} bytes; one ONNX file holds less than {LARGEST_FILE}")
    foreign = sorted(f"{domain}.{name}" for domain, name in contents.operators if domain not in STANDARD_DOMAINS)
    random = sorted(name for _, name in contents.operators if name in RANDOM_OPERATORS)
    problems += [f"operator {name} is not standard" for name in foreign]
    problems += [f"operator {name}: equal input would not give equal output" for name in random]
    if contents.num_functions:
        problems.append(f"{contents.num_functions} local function(s)")
    version = contents.opsets.get("", contents.opsets.get("ai.onnx", 0))
    if version not in OPSETS:
        problems.append(f"opset {version}; allowed: {OPSETS.start} to {OPSETS.stop - 1}")
    detail = f"self-contained, {size / 1e6:.1f} MB, opset {version}, {len(contents.operators)} kinds of operators"
    return Check("file", not problems, "; ".join(problems) or detail, {"size_bytes": float(size)})


def check_loading(candidate: Candidate) -> Check:
    """onnxruntime loads it from memory."""
    started = time.perf_counter()
    session = candidate.session
    seconds = time.perf_counter() - started
    producer = session.get_modelmeta().producer_name or "an unnamed program"
    detail = f"onnxruntime {onnxruntime.__version__}, from memory, in {seconds:.2f} s; made by {producer}"
    return Check("loading", True, detail, {"load_seconds": seconds})


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
    host = numbers_in_name(candidate.path)
    written = {"sr": named.sample_rate, "hop": named.hop_length, "nfft": named.n_fft}
    problems += [
        f"voclo reads {key}={value:g}, the name says {written[key]}"
        for key, value in host.items()
        if value != written[key]
    ]
    stored = candidate.session.get_modelmeta().custom_metadata_map
    if METADATA_KEY in stored:
        metadata = metadata_from_json(stored[METADATA_KEY], candidate.path.name)
        inside = {"sr": metadata.sample_rate, "hop": metadata.hop_length, "nfft": metadata.n_fft}
        problems += [
            f"{key}{written[key]} in the name, {inside[key]} inside" for key in written if written[key] != inside[key]
        ]
        if ("stream" in metadata.extra) != named.is_stream:
            problems.append(
                "streams end in _stream.onnx, other graphs do not; by its metadata this one should be named otherwise"
            )
        if metadata.name != named.name:
            problems.append(f"the name says {named.name!r}, the metadata {metadata.name!r}")
    detail = f"{named.name!r}, {named.sample_rate} Hz, hop {named.hop_length}, window {named.n_fft}"
    detail += "" if METADATA_KEY in stored else "; no metadata of this workbench"
    return Check("name", not problems, "; ".join(problems) or detail)


def check_inputs(candidate: Candidate) -> Check:
    """Only `audio`, float32 [batch, time] with free axes, is required."""
    inputs = candidate.session.get_inputs()
    problems = []
    for value in inputs[1:]:
        fate = "is filled with audio" if value.type == FLOAT else "gets a number guessed from its name or none at all"
        problems.append(f"extra input {value.name} {value.type}: in voclo it {fate}")
    first = inputs[0]
    if (first.name, first.type) != (AUDIO_INPUT, FLOAT):
        problems.append(f"first input is {first.name} {first.type} instead of {AUDIO_INPUT} {FLOAT}")
    problems += _axes(first.name, first.shape)
    if candidate.metadata is not None and candidate.lacks_controls:
        problems.append(f"no optional scalar input {', '.join(candidate.lacks_controls)}")
    optional = ", ".join(value.name for value in candidate.session.get_overridable_initializers()) or "none"
    return Check("required input", not problems, "; ".join(problems) or f"only {AUDIO_INPUT}; optional: {optional}")


def check_output(candidate: Candidate) -> Check:
    """The first declared output is float32 of rank 2 with free axes."""
    outputs = candidate.session.get_outputs()
    first = outputs[0]
    problems = [] if first.type == FLOAT else [f"{first.name} is {first.type} instead of {FLOAT}"]
    if first.name != AUDIO_OUTPUT:
        problems.append(f"first output is {first.name} instead of {AUDIO_OUTPUT}")
    problems += _axes(first.name, first.shape)
    if len(outputs) > 1:
        problems.append(f"{len(outputs)} outputs; only the first is ever read")
    return Check("first output", not problems, "; ".join(problems) or f"{first.name} {first.type} {first.shape}")


def _axes(name: str, shape: list[int | str | None]) -> list[str]:
    if len(shape) != 2:
        return [f"{name} has rank {len(shape)}; voclo reads rank 2 and passes the dry voice for rank 3"]
    return [f"{name} has fixed axes {shape}; both must be free"] if any(isinstance(axis, int) for axis in shape) else []
