"""From a trained run to the delivered voice."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.tools.corpus_tools import forget_checksums, make_job, write_sounds
from tests.tools.unheard import UNHEARD
from utils.audio.synthetic_speech import voice
from utils.config.export import export_job
from utils.config.train import train_job
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, ExportError, FormatError
from utils.export import delivery, precision
from utils.export.delivery import export_voice
from utils.export.graph_kinds import ExportedGraph, GraphJob, GraphKind
from utils.export.outcome import ExportOutcome
from utils.export.plans import ExportPlan, plan_export
from utils.features.index import load_index
from utils.files import sha256_of_file
from utils.inference.session import VoiceSession
from utils.training.fit import train
from utils.verification.candidate import Candidate, Extent
from utils.verification.rules import verify
from utils.voice_file.metadata import BANDWIDTH_KEY, NOT_JUDGED_KEY

pytestmark = pytest.mark.slow  # makes and tries whole graphs

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
STEPS = 120
QUICK = ("export.verify_minutes=0.1", "export.verify_blocks=20")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two speakers and a run of the toy model, until pieces of its sound join without clicks."""
    folder = tmp_path_factory.mktemp("trained")
    sounds = {
        f"{name}/{index}.wav": voice(2.0, RATE, f0_hz=f0_hz, seed=index)
        for name, f0_hz in (("ann", 220.0), ("bob", 110.0))
        for index in range(3)
    }
    write_sounds(folder / "recordings", sounds)
    prepare_dataset(make_job(folder / "recordings", folder / "datasets" / "two"))
    overrides = (
        "dataset.name=two", f"dataset.root={folder / 'datasets'}", f"run.root={folder / 'runs'}", "run.name=two",
        "audio=16k", "model=toy", "discriminator=none", f"trainer.steps={STEPS}",
        f"trainer.validate_every={STEPS // 2}", "trainer.progress_bar=false", "trainer.media=false",
        "trainer.precision=32-true", "data.batch_size=2", "data.segment_frames=40", "retrieval.codebook_size=16",
    )  # fmt: skip
    train(train_job(list(overrides)))
    return folder


def job(folder: Path, *overrides: str) -> ExportPlan:
    base = (f"run={folder / 'runs' / 'two'}", f"export.root={folder / 'exports'}", *QUICK)
    return plan_export(export_job([*base, *overrides]))


@pytest.fixture(scope="module")
def exported(folder: Path) -> ExportOutcome:
    return export_voice(job(folder, "name=pair", "export.speaker=bob", "licence=CC0"))


def test_every_rule_holds_for_a_trained_voice(exported: ExportOutcome) -> None:
    assert exported.failures == []


def test_a_file_alone_is_not_blamed_for_what_its_voice_has_not_learnt(folder: Path) -> None:
    plan = job(folder, "name=heard")
    heard = export_voice(replace(plan, extent=replace(plan.extent, listens=True)))
    path = heard.folder / "heard_sr16000_hop160_nfft640.onnx"
    unjudged = {check.name for graph in heard.graphs for check in graph.checks if check.is_unjudged}
    metadata = VoiceSession.open(path).metadata
    assert metadata is not None

    alone = verify(Candidate(path=path, extent=Extent(minutes=0, num_blocks=0, listens=True)))

    assert set(metadata.extra.get(NOT_JUDGED_KEY, [])) == unjudged
    assert [check.name for check in alone if not check.passed] == []
    assert {check.name for check in alone if check.is_unjudged} == unjudged
    assert metadata.extra[BANDWIDTH_KEY] > 4000


def test_graph_index_and_cards_are_delivered_together(exported: ExportOutcome) -> None:
    names = ["card.json", "card.md", "pair.index", "pair_sr16000_hop160_nfft640.onnx"]

    assert sorted(path.name for path in exported.folder.iterdir()) == names
    card = json.loads((exported.folder / "card.json").read_text(encoding="utf-8"))
    for entry in card["files"]:
        assert sha256_of_file(exported.folder / entry["name"]) == entry["sha256"]
    assert all(check["passed"] for check in card["verification"][names[-1]])
    assert "| 1 | bob |" in (exported.folder / "card.md").read_text(encoding="utf-8")
    assert not [path for path in exported.folder.parent.iterdir() if path.name.startswith(".")]


def test_metadata_tells_where_the_voice_comes_from_but_no_place(exported: ExportOutcome, folder: Path) -> None:
    session = VoiceSession.open(exported.folder / "pair_sr16000_hop160_nfft640.onnx")

    metadata = session.metadata
    assert metadata is not None
    assert [speaker.name for speaker in metadata.speakers] == ["ann", "bob"]
    assert [speaker.f0_median_hz for speaker in metadata.speakers] == pytest.approx([220, 110], rel=0.15)
    assert metadata.defaults["speaker_id"] == 1
    assert (metadata.licence, metadata.step, metadata.flavour) == ("CC0", STEPS, "audio_to_audio")
    assert metadata.index_sha256 == sha256_of_file(exported.folder / "pair.index")
    assert "codebook_size: 16" in metadata.config
    assert str(folder) not in metadata.to_json()


def test_the_default_speaker_is_the_chosen_one(exported: ExportOutcome) -> None:
    session = VoiceSession.open(exported.folder / "pair_sr16000_hop160_nfft640.onnx")
    audio = voice(1.0, RATE)

    np.testing.assert_array_equal(session.run(audio), session.run(audio, {"speaker_id": 1}))
    assert not np.array_equal(session.run(audio), session.run(audio, {"speaker_id": 0}))


def test_the_index_holds_the_training_frames_of_each_speaker(exported: ExportOutcome) -> None:
    index = load_index(exported.folder / "pair.index")
    assert exported.index is not None

    report = exported.index.report
    assert index.ntotal == report.num_vectors == sum(item.count for item in report.speakers)
    assert report.recall >= 0.99
    assert all(item.count > 100 for item in report.speakers)


def test_the_card_says_what_retrieval_costs_and_loses(exported: ExportOutcome) -> None:
    card = json.loads((exported.folder / "card.json").read_text(encoding="utf-8"))

    assert card["index"]["kind"] == "ivf"
    assert card["index"]["recall"] >= card["index"]["target_recall"] == 0.99
    assert card["index"]["size_bytes"] == (exported.folder / "pair.index").stat().st_size
    assert {"build_seconds", "query_microseconds", "effort_name", "effort"} <= set(card["index"])
    assert card["baking"]["codebook_size"] == 16
    assert 0.3 < card["baking"]["cosine"] < 1
    assert card["baking"]["num_frames"] > 100
    text = (exported.folder / "card.md").read_text(encoding="utf-8")
    assert exported.index is not None
    assert str(exported.index.report) in text and str(exported.index.baking) in text


def test_metadata_and_card_hold_what_a_voice_must_say_of_itself(exported: ExportOutcome) -> None:
    metadata = VoiceSession.open(exported.folder / "pair_sr16000_hop160_nfft640.onnx").metadata
    assert metadata is not None
    said = json.loads(metadata.to_json())

    assert {
        "schema_version", "sample_rate", "model_rate", "encoder", "pitch", "speakers", "index_sha256", "f0_convention",
        "licence", "consent", "dataset_fingerprint", "metrics", "config", "defaults", "precision",
    } <= set(said)  # fmt: skip
    assert said["encoder"]["id"] == "random" and said["pitch"]["id"]
    assert all(said[key] not in ("", None, "unknown", {}) for key in ("dataset_fingerprint", "metrics", "config"))
    card = json.loads((exported.folder / "card.json").read_text(encoding="utf-8"))
    of_one_file = ("sample_rate", "hop_length", "n_fft", "flavour")
    assert {key: said[key] for key in said if key not in ("schema_version", "extra", *of_one_file)} == card["voice"]
    (graph,) = card["graphs"].values()
    assert {key: said[key] for key in of_one_file} == {key: graph[key] for key in of_one_file}
    assert card["rates"] == [16000] and graph["resamplers"] == []


def test_the_card_names_what_is_in_the_first_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(job: GraphJob) -> ExportedGraph:
        path = job.folder / job.metadata.geometry.file_name
        path.write_bytes(b"graph")
        return ExportedGraph(path, (), replace(job.metadata, encoder={"id": "inside", "look_ahead": "short"}))

    monkeypatch.setattr(delivery, "find_graph_kind", lambda name: GraphKind(name, "for a test", make))

    outcome = export_voice(job(folder, "name=inside"))

    card = json.loads((outcome.folder / "card.json").read_text(encoding="utf-8"))
    assert card["voice"]["encoder"] == {"id": "inside", "look_ahead": "short"}
    said = "Training started from random weights. Content encoder inside (look_ahead=short), pitch tracker swift_f0_n"
    assert said in (outcome.folder / "card.md").read_text(encoding="utf-8")


def test_weights_in_fewer_bits_and_another_codebook_pass_every_rule(
    folder: Path, exported: ExportOutcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "SMALLEST", 64)  # this model is small
    changes = ("export.precision=int8", "retrieval=hnsw", "retrieval.codebook_size=8")

    outcome = export_voice(job(folder, "name=small", *changes))

    assert outcome.failures == []
    name = "small_sr16000_hop160_nfft640.onnx"
    plain = exported.folder / "pair_sr16000_hop160_nfft640.onnx"
    operators = [[node.op_type for node in onnx.load(str(path)).graph.node] for path in (outcome.folder / name, plain)]
    assert operators[0].count("Cast") >= operators[1].count("Cast") + 2
    metadata = VoiceSession.open(outcome.folder / name).metadata
    assert metadata is not None and metadata.precision == "int8"
    assert outcome.index is not None and outcome.index.report.kind == "hnsw"
    assert outcome.index.baking is not None and outcome.index.baking.codebook_size == 8


@pytest.mark.parametrize(("size", "idle"), [(0, ["index_rate", "protect"]), (8, [])])
def test_the_metadata_names_the_controls_that_do_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int, idle: list[str]
) -> None:
    def make(job: GraphJob) -> ExportedGraph:
        path = job.folder / job.metadata.geometry.file_name
        path.write_bytes(b"graph")
        return ExportedGraph(path, (), job.metadata)

    monkeypatch.setattr(delivery, "find_graph_kind", lambda name: GraphKind(name, "for a test", make))

    outcome = export_voice(job(folder, "name=idle", f"retrieval.codebook_size={size}"))

    graph = outcome.graphs[0]
    assert isinstance(graph, ExportedGraph) and graph.metadata.extra["idle_controls"] == idle


def test_a_typed_default_that_does_nothing_is_refused(folder: Path) -> None:
    typed = ("retrieval.codebook_size=0", "export.defaults.index_rate=0.5")

    with pytest.raises(
        ConfigError, match=r"^export\.defaults\.index_rate=0\.5 does nothing: the voice has no codebook"
    ):
        export_voice(job(folder, "name=typed", *typed))

    assert not (folder / "exports" / "typed").exists()


def test_a_lost_codebook_is_no_voice_without_retrieval(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "two"
    shutil.copytree(folder / "runs" / "two", run)
    (run / "codebook.safetensors").unlink()

    with pytest.raises(
        ConfigError, match=r"codebook\.safetensors is absent.*retrieval\.codebook_size=16.*codebook_size=0"
    ):
        export_voice(job(folder, f"run={run}", "name=lost"))

    assert not (folder / "exports" / "lost").exists()


def test_an_export_of_a_later_version_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pair").mkdir()
    (tmp_path / "pair" / "card.json").write_text('{"schema_version": 99, "files": []}', encoding="utf-8")

    with pytest.raises(FormatError, match="has schema_version 99, this program reads 1 to") as caught:
        export_voice(job(folder, "name=pair", f"export.root={tmp_path}"))

    assert "\n" not in str(caught.value)
    assert [item.name for item in (tmp_path / "pair").iterdir()] == ["card.json"]


def test_a_graph_for_each_rate(folder: Path) -> None:
    outcome = export_voice(job(folder, "name=rates", "export.rates=[44100,16000]"))

    assert outcome.failures == []
    names = {path.name for path in outcome.files if path.suffix == ".onnx"}
    assert names == {"rates_sr44100_hop441_nfft1764.onnx", "rates_sr16000_hop160_nfft640.onnx"}
    audio = voice(0.5, 44100)
    session = VoiceSession.open(outcome.folder / "rates_sr44100_hop441_nfft1764.onnx")
    assert session.run(audio).shape == audio.shape
    card = json.loads((outcome.folder / "card.json").read_text(encoding="utf-8"))
    resamplers = {name: item["resamplers"] for name, item in card["graphs"].items()}
    rates = [(item["source_rate"], item["target_rate"]) for item in resamplers["rates_sr44100_hop441_nfft1764.onnx"]]
    assert rates == [(44100, 16000), (16000, 44100)] and resamplers["rates_sr16000_hop160_nfft640.onnx"] == []


def test_a_failed_export_leaves_the_earlier_one_as_it_was(folder: Path, exported: ExportOutcome) -> None:
    before = {path.name: path.read_bytes() for path in exported.folder.iterdir()}

    outcome = export_voice(replace(job(folder, "name=pair"), tolerance=1e-15))

    assert "pair_sr16000_hop160_nfft640.onnx: parity with PyTorch" in outcome.failures
    assert "pair_sr16000_hop160_nfft640.onnx: whole file" in outcome.failures
    assert list(outcome.files) == []
    assert {path.name: path.read_bytes() for path in exported.folder.iterdir()} == before
    assert not [path for path in exported.folder.parent.iterdir() if path.name.startswith(".")]


def test_a_dataset_of_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other"
    shutil.copytree(folder / "datasets" / "two", copy)
    forget_checksums(copy)
    info = json.loads((copy / "dataset.json").read_text(encoding="utf-8"))
    info["features"]["content"]["identity"]["seed"] = 7
    (copy / "dataset.json").write_text(json.dumps(info), encoding="utf-8")

    with pytest.raises(ExportError, match="was prepared with other content features") as caught:
        export_voice(job(folder, f"dataset={copy}"))

    assert "\n" not in str(caught.value)


def test_a_dataset_of_other_recordings_is_refused(folder: Path, exported: ExportOutcome, tmp_path: Path) -> None:
    sounds = {
        f"{name}/0.wav": voice(2.0, RATE, f0_hz=f0_hz, seed=9) for name, f0_hz in (("ann", 210.0), ("bob", 120.0))
    }
    write_sounds(tmp_path / "recordings", sounds)
    prepare_dataset(make_job(tmp_path / "recordings", tmp_path / "datasets" / "two"))

    with pytest.raises(ExportError, match=r"holds other clips .* the index would not be of this voice") as caught:
        export_voice(job(folder, f"dataset={tmp_path / 'datasets' / 'two'}"))

    assert "\n" not in str(caught.value)
    metadata = VoiceSession.open(exported.folder / "pair_sr16000_hop160_nfft640.onnx").metadata
    assert metadata is not None
    assert metadata.dataset_fingerprint == CorpusStore.open(folder / "datasets" / "two").fingerprint


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run=nowhere", "run=nowhere is not a folder"),
        ("dataset=nowhere", "not at nowhere; give its place with dataset="),
        ("export.speaker=carl", "export.speaker='carl' is not in this voice; it has: 0 ann, 1 bob"),
        ("export.speaker=2", "export.speaker=2 is not in this voice"),
        ("checkpoint=first", "checkpoint=first is unknown; allowed: best, last"),
        ("name=a_sr2", "contains 'sr2'"),
        ("export.rates=[44101]", "44101 is not possible"),
        ("export.graph_kinds=[rvc]", "export.graph_kinds=rvc is unknown; allowed: audio_to_audio, stream"),
        ("export.graph_kinds=[]", "must name at least one, and each once"),
        ("export.defaults.index_rate=2", "export.defaults.index_rate=2 is out of range"),
        ("export.parity_tolerance=1", "export.parity_tolerance=1 is out of range"),
    ],
)
def test_bad_settings_name_key_and_remedy(folder: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")) as caught:
        export_voice(job(folder, override))

    assert "\n" not in str(caught.value)


def test_a_run_without_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no checkpoint 'best'; found: none"):
        export_voice(replace(job(folder), run=tmp_path))


@pytest.mark.parametrize(
    ("arguments", "code", "stream", "text"),
    [
        ((), 2, "stderr", "error: run is missing.\nType: python export_onnx.py run=runs/<run>"),
        (("run=nowhere",), 2, "stderr", "error: run=nowhere is not a folder"),
        (("run=runs/two", "export.parity_tolerance=1e-15", *QUICK), 2, "stderr", "error: nothing was exported"),
        (("run=runs/two", "name=by_script", *QUICK), 0, "stdout", "PASS  parity with PyTorch"),
    ],
    ids=["nothing", "no run", "failing", "passing"],
)
def test_script_prints_and_exits(folder: Path, arguments: tuple[str, ...], code: int, stream: str, text: str) -> None:
    command = [sys.executable, str(UNHEARD), str(ROOT / "export_onnx.py"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    assert finished.returncode == code, finished.stderr
    assert text in getattr(finished, stream), getattr(finished, stream)
    assert "Traceback" not in finished.stderr
    assert (folder / "exports" / "by_script" / "card.json").is_file() == (code == 0)
