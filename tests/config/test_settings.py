"""Settings of export_onnx.py and test_model.py are declared once; wrong kinds and keys without effect are refused."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from utils.config import compose, to_plain
from utils.config.environment import key_of
from utils.config.settings import Setting
from utils.errors import ConfigError
from utils.export.jobs import export_job, foreign_job, generator_job
from utils.export.rvc.files import run_foreign
from utils.export.settings import SETTINGS as EXPORT_SETTINGS
from utils.export.settings import check_settings
from utils.inference.jobs import trial_job, verify_job
from utils.inference.settings import SETTINGS as TEST_SETTINGS
from utils.voice_file.rvc_formats import RVC_FORMATS

GROUPS = ("export", "retrieval", "content")
KINDS = ("onnx", *RVC_FORMATS, "rvc_pth", "rvc_checkpoint", "rvc_report")
# none of them is of any kind but the first two, which are texts
WRONG = ("abc", "2024", "null", "true", "2.5", "[[a]]", "{a: 1}")
FITTING = {
    "text": {"abc", "2024", "2.5"},
    "text or number": {"abc", "2024", "2.5"},
    "texts": {"abc", "2024", "2.5"},
    "number": {"2024", "2.5"},
    "whole number": {"2024"},
    "whole numbers": {"2024"},
}


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@cache
def composed(name: str, *overrides: str) -> DictConfig:
    return compose(name, list(overrides))


def configured(name: str, overrides: tuple[str, ...]) -> DictConfig:
    """The configuration of a script; groups are composed, and their results kept, since that takes long."""
    groups = tuple(item for item in overrides if "." not in key_of(item) and key_of(item) in GROUPS)
    config = deepcopy(composed(name, *groups))
    OmegaConf.set_struct(config, False)
    values = [item.lstrip("+") for item in overrides if item not in groups]
    for item in values:
        key = key_of(item)
        OmegaConf.update(config, key, OmegaConf.select(OmegaConf.from_dotlist([item]), key), merge=False)
    return config


def export(*overrides: str) -> Any:
    """What export_onnx.py does with a command line, as far as the job."""
    config = configured("export", overrides)
    given = {key_of(item) for item in overrides}
    check_settings(to_plain(config))
    kind = config.export.kind
    if kind in RVC_FORMATS:
        return generator_job(config, given)
    if kind == "rvc_report":
        return run_foreign(config, given)
    return foreign_job(config, given) if kind in ("rvc_pth", "rvc_checkpoint") else export_job(config, given)


def trial(*overrides: str) -> Any:
    """What test_model.py does with a command line, as far as the job."""
    config = configured("test_model", overrides)
    given = {key_of(item) for item in overrides}
    return verify_job(config, given) if config.verify is not None else trial_job(config, given)


def refusal(job: Any, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        job(*overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_an_export_is_declared(kind: str) -> None:
    plain = to_plain(composed("export", f"export={kind}"))

    assert set(leaves(plain)) - {item.key for item in EXPORT_SETTINGS} == set()


def test_every_key_of_a_trial_is_declared() -> None:
    assert set(leaves(to_plain(composed("test_model")))) == {
        item.key for item in TEST_SETTINGS if item.kind != "section"
    }


@pytest.mark.parametrize(
    "setting", [item for item in EXPORT_SETTINGS if item.kind in FITTING], ids=lambda item: item.key
)
def test_a_value_of_another_kind_is_one_line(setting: Setting) -> None:
    kind = "rvc_checkpoint" if setting.key == "export.resume_in" else "wokada" if "embedder" in setting.key else "onnx"
    voice = "voice=bob.pth" if setting.key.startswith("rvc.") else "run=runs/x"
    allowed = FITTING[setting.kind] | ({"null"} if setting.is_optional else set())

    for value in WRONG if setting.key != "run" else WRONG[3:]:  # without a run there is a hint of two lines
        try:
            export(f"export={kind}", voice, f"{setting.key}={value}")
        except ConfigError as error:
            assert "\n" not in str(error)
            assert value in allowed or f"{setting.key}=" in str(error)
            continue
        assert value in allowed, f"{setting.key}={value} was accepted"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("export.parity_tolerance=null",), "export.parity_tolerance=null must be a number, such as 1e-4"),
        (("export.flavours=5.5",), "export.flavours: 5.5 is unknown"),
        (("export.flavours=[[a]]",), "export.flavours=[['a']] must be a text or a list of texts"),
        (("export.flavours=[stream,stream]",), "export.flavours=['stream', 'stream'] must name at least one, and each"),
        (("retrieval.codebook_size=2.5",), "retrieval.codebook_size=2.5 must be a whole number or null"),
        (("retrieval=null",), "retrieval=null is no option; allowed: flat, hnsw, ivf, ivf_pq"),
        (("~retrieval",), "retrieval=null must be a section of keys, such as retrieval=ivf"),
        (("rvc=null",), "rvc=null must be a section of keys"),
        (("export=null",), "export=null is no option; allowed: deiteris, onnx"),
        (("~export",), "export.kind=null must be a text, such as export=onnx"),
        (("export.defaults=null",), "export.defaults=null must be a section of keys"),
        (("licence=null",), "licence=null must be a text, such as CC-BY-4.0"),
        (("+retrieval.foo=1",), "retrieval.foo is no key; allowed in retrieval: code_bytes, codebook_size"),
    ],
)
def test_what_ended_in_a_traceback_is_explained(overrides: tuple[str, ...], message: str) -> None:
    assert message in refusal(export, "run=runs/x", *overrides)


def test_one_flavour_needs_no_brackets() -> None:
    assert export("run=runs/x", "export.flavours=stream").flavours == ("stream",)


@pytest.mark.parametrize("setting", [item for item in TEST_SETTINGS if item.kind in FITTING], ids=lambda item: item.key)
def test_a_wrong_value_for_a_trial_is_one_line(setting: Setting) -> None:
    use = ("verify=a.onnx",) if setting.key.startswith("verify") else ("onnx=a.onnx", "audio.path=b.wav")
    allowed = FITTING[setting.kind] | ({"null"} if setting.is_optional else set())

    for value in WRONG:
        try:
            trial(*use, f"{setting.key}={value}")
        except ConfigError as error:
            assert value in allowed or f"{setting.key}=" in str(error)
            continue
        assert value in allowed, f"{setting.key}={value} was accepted"


IDLE = (
    "export.pitch_shift=0", "export.rates=[48000]", "export.flavours=[stream]", "export.speaker=ann", "export.opset=17",
    "export.exporter=dynamo", "export.parity_tolerance=1e-4", "export.verify_minutes=0", "export.verify_blocks=0",
    "export.defaults.protect=0.2", "export.stream_block_ms=40", "retrieval=flat", "retrieval.seed=1", "dataset=data",
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
    assert export("run=x", "export.flavours=[stream]", "export.stream_block_ms=40").stream_block_ms == 40


@pytest.mark.parametrize(
    "override",
    ["pitch_shift=3", "threads=1", "output=out", "speaker=1", "index_rate=1", "protect=0.2", "loudness_mix=1"],
)
def test_a_verification_refuses_what_is_for_conversions(override: str) -> None:
    key = override.partition("=")[0]

    assert (
        refusal(trial, "verify=a.onnx", override) == f"{key} does nothing with verify=; leave it out (it is for onnx=)"
    )


@pytest.mark.parametrize("key", ["verify_minutes", "verify_blocks"])
def test_a_conversion_refuses_what_is_for_verifications(key: str) -> None:
    assert f"{key} does nothing with onnx=" in refusal(trial, "onnx=a.onnx", "audio.path=b.wav", f"{key}=1")
