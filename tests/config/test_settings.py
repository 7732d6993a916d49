"""Keys of export_onnx.py and test_model.py: wrong kinds and keys without effect are refused in one line."""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import pytest
from omegaconf import OmegaConf

import utils.export
from utils.audio.writing import SOUND_FORMATS
from utils.config import to_plain
from utils.config.environment import key_of
from utils.config.export import ControlSettings, ExportJob, ExportSettings
from utils.config.fields import Section, allowed_range, choices_of
from utils.config.job import Job
from utils.config.renamed import with_current_keys
from utils.config.roots import JOBS
from utils.config.test_model import ConvertJob, SoundFormatName, VerifyJob, VoiceTrial
from utils.errors import ConfigError
from utils.export.plans import plan_export, plan_files, plan_generator
from utils.voice_file.controls import ALL_CONTROLS
from utils.voice_file.rvc_formats import RVC_FORMATS

GROUPS = ("export", "retrieval", "content")
KINDS = ("onnx", *RVC_FORMATS, "rvc_pth", "rvc_checkpoint", "rvc_report")
WRONG = ("abc", "2024", "null", "true", "2.5", "[[a]]", "{a: 1}")
FITTING = {
    "choice": set(),
    "text": {"abc", "2024", "2.5"},
    "text or number": {"abc", "2024", "2.5"},
    "number": {"2024", "2.5"},
    "auto or number": {"2024", "2.5"},
    "whole number": {"2024"},
    "whole numbers": {"2024"},
    "packages": {"abc"},
    "texts": {"abc", "2024", "2.5"},
    "bool": {"true"},
}
EXPORT_KEYS = {  # key -> kind of its value, and whether it may be null
    "run": "text?", "voice": "text?", "index": "text?", "checkpoint": "choice", "name": "text?",
    "dataset": "text?", "licence": "text",
    "blend": "choice?", "report": "text?",
    "consent": "text", "export.kind": "choice", "export.root": "text", "export.rates": "whole numbers?",
    "export.graph_kinds": "choice", "export.stream_block_ms": "whole number", "export.exporter": "choice",
    "export.controls": "choice",
    "export.opset": "whole number", "export.precision": "choice", "export.parity_tolerance": "number",
    "export.verify_minutes": "number", "export.verify_blocks": "whole number", "export.speaker": "text or number?",
    "export.pitch_shift": "number", "export.defaults.pitch_shift": "number", "export.defaults.index_rate": "number",
    "export.defaults.protect": "number", "export.defaults.loudness_mix": "number", "export.embedder": "text?",
    "export.defaults.automatic_f0": "whole number?", "export.source": "text or number?",
    "export.resume_in": "choice", "rvc.f0_convention": "choice?", "rvc.embedder": "text?",
    "rvc.speakers": "whole numbers?", "rvc.cluster": "text?",
    "retrieval.kind": "choice", "retrieval.max_vectors": "whole number",
    "retrieval.target_recall": "number", "retrieval.code_bytes": "whole number?", "retrieval.seed": "whole number",
    "retrieval.codebook_size": "whole number?", "trust": "packages",
}  # fmt: skip
TRIAL_KEYS = {
    "onnx": "text?", "audio.path": "text?", "output": "text?", "report": "text?", "threads": "whole numbers",
    "workers": "whole number", "resume": "bool", "format": "choice?", "output_rate": "whole number?",
    "channels": "choice", "tags": "bool",
    "pitch_shift": "auto or number?", "speaker": "text or number?", "index_rate": "number?", "protect": "number?",
    "loudness_mix": "number?", "automatic_f0": "whole number?", "source": "text or number?",
    "verify": "text?", "verify_minutes": "number", "verify_blocks": "whole number",
    "evaluate": "text?", "against": "text?", "sources": "text?", "target": "text?", "most_sources": "whole number",
    "most_target": "whole number", "evaluators": "texts", "language": "text", "leaks": "bool", "sweep": "bool",
}  # fmt: skip
EVALUATION_KEYS = tuple(TRIAL_KEYS)[-10:]


def fitting(kind: str) -> set[str]:
    return FITTING[kind.removesuffix("?")] | ({"null"} if kind.endswith("?") else set())


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@cache
def composed(name: str, *overrides: str) -> dict[str, Any]:
    return to_plain(JOBS[name].compose(overrides))


def configured(job: type[Job], overrides: tuple[str, ...]) -> Any:
    """The job of a script; groups are composed, and their results kept, since that takes long."""
    current, _ = with_current_keys(overrides)
    groups = tuple(item for item in current if "." not in key_of(item) and key_of(item) in GROUPS)
    config = OmegaConf.create(composed(job.config_name, *groups))
    for item in (item.lstrip("+") for item in current if item not in groups):
        key = key_of(item)
        OmegaConf.update(config, key, OmegaConf.select(OmegaConf.from_dotlist([item]), key), merge=False)
    return job.from_config(config, {key_of(item) for item in current})


def export(*overrides: str) -> Any:
    """What export_onnx.py does with a command line, as far as nothing is read."""
    job = configured(ExportJob, overrides)
    if job.export.kind in RVC_FORMATS:
        return plan_generator(job)
    if job.export.kind == "rvc_report":
        return utils.export.export(job)
    return plan_files(job) if job.export.kind in ("rvc_pth", "rvc_checkpoint") else plan_export(job)


def trial(*overrides: str) -> Any:
    """What test_model.py does with a command line, as far as nothing is read."""
    is_verification = any(item.startswith("verify=") and item != "verify=null" for item in overrides)
    job = configured(VerifyJob if is_verification else ConvertJob, overrides)
    return job.graph if is_verification else (job.graph, job.recordings)


def refusal(job: Any, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        job(*overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_an_export_is_declared(kind: str) -> None:
    plain = configured(ExportJob, (f"export={kind}",)).to_plain()

    assert set(leaves(plain)) - {"content", "pitch"} == set(EXPORT_KEYS)


def test_every_key_of_a_trial_is_declared() -> None:
    assert set(leaves(composed("test_model"))) == set(TRIAL_KEYS)


@pytest.mark.parametrize("key", EXPORT_KEYS)
def test_a_value_of_another_kind_is_one_line(key: str) -> None:
    kinds = {"export.resume_in": "rvc_checkpoint", "report": "rvc_report"}
    kind = kinds.get(key, "wokada" if "embedder" in key else "onnx")
    voice = "voice=bob.pth" if key.startswith(("rvc.", "index")) else "run=runs/x"
    allowed = fitting(EXPORT_KEYS[key])

    for value in WRONG if key != "run" else WRONG[3:]:  # without a run there is a hint of two lines
        try:
            export(f"export={kind}", voice, f"{key}={value}")
        except ConfigError as error:
            assert "\n" not in str(error)
            assert value in allowed or f"{key}=" in str(error)
            continue
        assert value in allowed, f"{key}={value} was accepted"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("export.parity_tolerance=null",), "export.parity_tolerance=null must be a number, for example 0.0001"),
        (("export.graph_kinds=5.5",), "export.graph_kinds=5.5 is unknown; allowed: audio_to_audio, stream"),
        (("export.graph_kinds=[[a]]",), "export.graph_kinds=['a'] is unknown; allowed: audio_to_audio, stream"),
        (("export.flavours=[stream,stream]",), "export.graph_kinds=['stream', 'stream'] must name at least one, and"),
        (("retrieval.codebook_size=2.5",), "retrieval.codebook_size=2.5 must be a whole number or null"),
        (("retrieval=null",), "retrieval=null is no option; allowed: flat, hnsw, ivf, ivf_pq"),
        (("rvc=null",), "rvc=null must be a section of keys"),
        (("export=null",), "export=null is no option; allowed: deiteris, onnx"),
        (("export.defaults=null",), "export.defaults=null must be a section of keys"),
        (("licence=null",), "licence=null must be a text, for example not stated"),
        (("+retrieval.foo=1",), "retrieval.foo is no key; allowed in retrieval: code_bytes, codebook_size"),
    ],
)
def test_what_ended_in_a_traceback_is_explained(overrides: tuple[str, ...], message: str) -> None:
    assert message in refusal(export, "run=runs/x", *overrides)


def test_one_kind_of_graph_needs_no_brackets() -> None:
    assert export("run=runs/x", "export.graph_kinds=stream").graph_kinds == ("stream",)


@pytest.mark.parametrize("key", TRIAL_KEYS)
def test_a_wrong_value_for_a_trial_is_one_line(key: str) -> None:
    use: tuple[str, ...] = ("onnx=a.onnx", "audio.path=b.wav")
    if key.startswith("verify"):
        use = ("verify=a.onnx",)
    elif key in EVALUATION_KEYS:
        use = ("evaluate=a.onnx", "sources=s", "target=t")
    allowed = fitting(TRIAL_KEYS[key])

    for value in WRONG:
        try:
            trial(*use, f"{key}={value}")
        except ConfigError as error:
            assert value in allowed or f"{key}=" in str(error)
            continue
        assert value in allowed, f"{key}={value} was accepted"


@pytest.mark.parametrize(
    ("section", "names"),
    [
        # pitch_shift may be a word; its range is that of ControlDefaults
        (ControlSettings, {"index_rate", "protect", "loudness_mix", "automatic_f0"}),
        (VoiceTrial, {"index_rate", "protect", "loudness_mix", "automatic_f0"}),
    ],
)
def test_ranges_of_controls_are_those_of_the_one_table(section: type[Section], names: set[str]) -> None:
    ranges = {name: f"between {item.low:g} and {item.high:g}" for item in ALL_CONTROLS if (name := item.name) in names}

    assert {name: allowed_range(section.model_fields[name]) for name in names} == ranges


def test_kinds_and_formats_are_those_of_the_rooms() -> None:
    assert set(KINDS) == set(choices_of(ExportSettings.model_fields["kind"].annotation))
    assert get_args(SoundFormatName) == tuple(SOUND_FORMATS)


IDLE = (
    "export.pitch_shift=0", "export.rates=[48000]", "export.graph_kinds=[stream]", "export.speaker=ann",
    "export.opset=17", "export.exporter=dynamo", "export.parity_tolerance=1e-4", "export.verify_minutes=0",
    "export.verify_blocks=0", "export.defaults.protect=0.2", "export.stream_block_ms=40",
    "retrieval=flat", "retrieval.seed=1", "dataset=data",
)  # fmt: skip


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "onnx"])
@pytest.mark.parametrize("override", IDLE)
def test_what_an_export_does_not_read_is_refused_where_it_was_typed(kind: str, override: str) -> None:
    source = "voice=bob.pth" if kind == "rvc_report" else "run=runs/x"

    message = refusal(export, f"export={kind}", source, override)

    key = override.partition("=")[0]
    assert message.startswith(f"{key} does nothing with export={kind}; leave it out (it is for export=onnx)")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rvc_report"])
def test_defaults_that_an_export_does_not_read_are_silent(kind: str) -> None:
    assert export(f"export={kind}", "run=runs/x", "name=bob", "licence=CC0", "export.root=out").name == "bob"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("voice=bob.pth", "dataset=data"), "dataset does nothing with voice=; leave it out (it is for run=)"),
        (("voice=bob.pth", "retrieval.seed=1"), "retrieval.seed does nothing with voice="),
        (("voice=bob.pth", "checkpoint=last"), "checkpoint does nothing with voice="),
        (("run=x", "export.stream_block_ms=40"), "export.stream_block_ms does nothing with the graph for recordings"),
        (("run=x", "export=rvc_pth", "content=toy"), "content does nothing with export=rvc_pth"),
        (("voice=bob.pth", "export=rvc_report", "name=bob"), "name does nothing with export=rvc_report"),
        (("run=x", "+export.resume_in=either"), "export.resume_in does nothing with export=onnx"),
    ],
)
def test_what_has_no_effect_on_this_voice_is_refused(overrides: tuple[str, ...], message: str) -> None:
    assert message in refusal(export, *overrides)


def test_the_block_of_a_stream_can_be_chosen() -> None:
    assert export("run=x", "export.graph_kinds=[stream]", "export.stream_block_ms=40").stream_block_ms == 40


@pytest.mark.parametrize(
    "override",
    ["pitch_shift=3", "threads=1", "output=out", "speaker=1", "index_rate=1", "protect=0.2", "loudness_mix=1"],
)
def test_a_verification_refuses_what_is_for_conversions(override: str) -> None:
    key = override.partition("=")[0]

    uses = "onnx=" if key == "threads" else "onnx=, evaluate="
    words = f"{key} does nothing with verify=; leave it out (it is for {uses})"
    assert refusal(trial, "verify=a.onnx", override) == words


@pytest.mark.parametrize("key", ["verify_minutes", "verify_blocks"])
def test_a_conversion_refuses_what_is_for_verifications(key: str) -> None:
    assert f"{key} does nothing with onnx=" in refusal(trial, "onnx=a.onnx", "audio.path=b.wav", f"{key}=1")
