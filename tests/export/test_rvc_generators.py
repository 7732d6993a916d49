"""Delivery of an RVC generator for another program."""

import json
import re
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from tests.tools.rvc_tools import saved, small_generator, webui_voice
from utils.config.export import export_job
from utils.errors import ConfigError, ExportError, WorkbenchError
from utils.export.plans import GeneratorPlan, plan_generator
from utils.export.report import export_text
from utils.export.rvc import generator_voice, generators
from utils.export.rvc.generators import export_generator
from utils.voice_file.generator_metadata import generator_metadata_from_json


def job(path: Path, *overrides: str) -> GeneratorPlan:
    return plan_generator(export_job([f"voice={path}", f"export.root={path.parent / 'out'}", *overrides]))


@pytest.mark.slow
def test_a_shared_voice_is_delivered_with_its_proof(tmp_path: Path) -> None:
    rvc_format = "wokada"
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator(num_speakers=2, seed=1)))

    outcome = export_generator(
        job(path, f"export={rvc_format}", "rvc.speakers=[1]", "licence=CC0", "rvc.f0_convention=interpolated")
    )

    outcome.require_success()
    lines = export_text(outcome).splitlines()
    folder = tmp_path / "out" / "bob"
    assert sorted(item.name for item in folder.iterdir()) == [f"bob_{rvc_format}.json", f"bob_{rvc_format}.onnx"]
    report = json.loads((folder / f"bob_{rvc_format}.json").read_text(encoding="utf-8"))
    assert all(check["passed"] for check in report["verification"])
    parity = next(check for check in report["verification"] if check["name"] == "conversion")["figures"]["parity_db"]
    assert parity < -100
    stored = {item.key: item.value for item in onnx.load(str(folder / f"bob_{rvc_format}.onnx")).metadata_props}
    own = json.loads(stored[generators.OWN_KEY])
    assert (own["licence"], own["speakers"], own["num_speakers"]) == ("CC0", ["bob"], 1)
    # a shared file does not say more
    assert (own["schema_version"], own["dataset_fingerprint"], own["metrics"], own["pitch"]) == (2, "unknown", {}, {})
    assert generator_metadata_from_json(stored[generators.OWN_KEY], "bob") == own
    recorded = (own["f0_convention"], own["encoder"], report["f0_convention"], report["encoder"])
    assert recorded == ("interpolated", "contentvec") * 2
    assert any("trained with f0 interpolated in unvoiced frames" in line for line in lines)
    assert json.loads(stored["metadata"])["samplingRate"] == 48000
    assert str(tmp_path) not in stored[generators.OWN_KEY]
    assert any("PASS  conversion" in line for line in lines)


@pytest.mark.slow
def test_a_rule_that_fails_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator(seed=1)))
    (tmp_path / "out" / "bob").mkdir(parents=True)
    (tmp_path / "out" / "bob" / "bob_wokada.onnx").write_bytes(b"earlier")
    monkeypatch.setitem(generators.PARITY_DB, "fp32", -200.0)

    outcome = export_generator(job(path, "export=wokada", "licence=other"))

    with pytest.raises(ExportError, match=r"nothing was exported.*failed: bob_wokada\.onnx: conversion$"):
        outcome.require_success()
    assert re.search(r"FAIL  conversion +.*dB from PyTorch", export_text(outcome))
    assert outcome.files == ()

    assert (tmp_path / "out" / "bob" / "bob_wokada.onnx").read_bytes() == b"earlier"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("export=deiteris", "export.precision=fp16"),
            "fp16 is nothing that deiteris' voice changer loads; allowed: fp32",
        ),
        (("export=wokada", "export.embedder=mine"), "export.embedder=mine is unknown; allowed: hubert_base"),
        (("export=wokada", "run=runs/x"), "are given; export one of them"),
        (("export=wokada", "rvc.speakers=[7]"), "the file's speaker table has the rows 0 to 0"),
        (("export=wokada", "rvc.f0_convention=guess"), "rvc.f0_convention=guess is unknown; allowed: zero_unvoiced"),
        (("export=wokada", "rvc.embedder=spin"), "trained on content features of spin, which these programs do not"),
        (
            ("export=wokada", "rvc.embedder=hubert"),
            "trained on content features of hubert, which these programs do not",
        ),
        (("export=wokada", "content=toy"), "content= has no place in export=wokada"),
        (("export=rvc_webui", "pitch=builtin"), "pitch= has no place in export=rvc_webui"),
    ],
)
def test_what_a_program_cannot_have_is_one_line(tmp_path: Path, overrides: tuple[str, ...], message: str) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))

    with pytest.raises(WorkbenchError) as caught:
        export_generator(job(path, *overrides))

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["rvc.f0_convention=interpolated", "rvc.embedder=contentvec", "rvc.speakers=[0]"])
def test_what_a_run_knows_itself_is_not_asked(override: str) -> None:
    with pytest.raises(ConfigError, match=r"^rvc\.\w+ belongs to voice=<file\.pth>; a run knows its own$"):
        plan_generator(export_job(["run=runs/x", "export=wokada", override]))


@pytest.mark.slow
def test_encoder_and_convention_come_from_the_settings_else_from_the_file(tmp_path: Path) -> None:
    own = {"voclo_trainer": {"f0_convention": "interpolated", "embedder": "spin"}}
    silent = saved(tmp_path / "bob.pth", webui_voice(small_generator()))
    ours = saved(tmp_path / "ann.pth", {**webui_voice(small_generator()), **own})
    given = ("export=wokada", "rvc.f0_convention=zero_unvoiced", "rvc.embedder=contentvec")

    unknown, known, asked = (
        generator_voice.load_generator(item)
        for item in (job(silent, "export=wokada"), job(ours, "export=wokada"), job(ours, *given))
    )

    assert (unknown.f0_convention, unknown.encoder) == (None, "contentvec")
    assert (known.f0_convention, known.encoder) == ("interpolated", "spin")
    assert (asked.f0_convention, asked.encoder) == ("zero_unvoiced", "contentvec")
    note = generators._notes(job(silent, "export=wokada"), unknown)[1]
    assert "does not say what its f0 held in unvoiced frames" in note and "\n" not in note


def test_a_file_of_ours_on_another_layer_is_refused(tmp_path: Path) -> None:
    own = {"embedder": "contentvec", "encoder": {"id": "contentvec", "layer": 9}}
    path = saved(tmp_path / "bob.pth", {**webui_voice(small_generator()), "voclo_trainer": own})

    with pytest.raises(ConfigError, match="layer 9 without projection of contentvec, but every program gives RVC v2"):
        export_generator(job(path, "export=wokada"))


def test_an_encoder_that_the_programs_lack_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))
    load = generators.load_generator
    monkeypatch.setattr(generators, "load_generator", lambda given: replace(load(given), encoder="builtin"))

    with pytest.raises(ConfigError, match="content features of builtin, which these programs do not compute"):
        export_generator(job(path, "export=wokada"))
