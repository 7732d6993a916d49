"""From a shared voice to a graph, and from a run to the files of the other programs and back."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from tests.corpus_tools import make_job, write_sounds
from tests.hubert_tools import write_hubert
from tests.rvc_tools import SMALL, applio_voice, saved, shared_weights, small_generator, training_file, webui_voice
from tests.synthetic_speech import voice
from utils.config import compose
from utils.corpus.pipeline import preprocess
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, FormatError, WorkbenchError
from utils.export import flavours, generators, imported
from utils.export.delivery import export_job, export_voice
from utils.export.foreign import export_foreign, foreign_job, run_foreign
from utils.export.imported import load_imported_voice
from utils.features.pitch.filling import FilledPitch
from utils.inference.session import VoiceSession
from utils.rvc.reading import read_foreign
from utils.training.checkpoints import PAYLOAD_KEY
from utils.training.fit import train

ROOT = Path(__file__).resolve().parents[1]
CONTENT = ("content=toy", "content.dim=768")
EMBEDDER = "rvc.embedder=random"  # the name of content=toy


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let imported voices have the small networks of these tests."""
    composed = imported.voice_config

    def shrunk(file: Any) -> DictConfig:
        sizes = OmegaConf.from_dotlist(list(SMALL))
        config = OmegaConf.merge(composed(file), sizes)
        assert isinstance(config, DictConfig)
        return config

    monkeypatch.setattr(imported, "voice_config", shrunk)


def settings_of(path: Path, *overrides: str) -> imported.ImportSettings:
    job = export_job(compose("export", [f"voice={path}", *overrides]))
    assert job.imported is not None
    return job.imported


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(WorkbenchError) as caught:
        load_imported_voice(settings_of(path, *overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.usefixtures("small")
def test_weights_speakers_and_conventions_come_from_the_file(tmp_path: Path) -> None:
    network = small_generator(num_speakers=3, seed=1)
    path = saved(tmp_path / "bob.pth", applio_voice(network, embedder_model="random"))

    loaded = load_imported_voice(settings_of(path, *CONTENT))

    expected = network.half().float().state_dict()
    for name, value in loaded.model.state_dict().items():
        if name in expected and not name.startswith("enc_q."):
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    assert loaded.speakers == ["row 0", "row 1", "row 2"] and loaded.model.num_speakers == 3
    assert (loaded.step, loaded.io_rate) == (4200, 48000)
    assert not isinstance(loaded.model.frontend.pitch_tracker, FilledPitch)  # type: ignore[union-attr]
    assert loaded.dataset_info["imported"]["f0_convention"] == "zero_unvoiced"


@pytest.mark.usefixtures("small")
def test_chosen_rows_of_the_speaker_table_are_kept(tmp_path: Path) -> None:
    network = small_generator(num_speakers=3, seed=1)
    path = saved(tmp_path / "bob.pth", applio_voice(network, embedder_model="random"))
    settings = settings_of(path, *CONTENT, "rvc.speakers=[2]")

    loaded = load_imported_voice(settings)

    table = loaded.model.state_dict()["emb_g.weight"]
    torch.testing.assert_close(table, network.state_dict()["emb_g.weight"][2:].half().float(), rtol=0, atol=0)
    assert loaded.speakers == ["bob"]
    said = imported.explain_import(loaded)
    assert any("3 rows in the file, of which it says 1 were trained; in the voice rows [2]" in line for line in said)
    assert "the file's speaker table has the rows 0 to 2" in refusal(path, *CONTENT, "rvc.speakers=[3]")


@pytest.mark.usefixtures("small")
def test_the_f0_convention_is_asked_for_and_honoured(tmp_path: Path) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))

    assert "type rvc.f0_convention=zero_unvoiced" in refusal(path, *CONTENT, EMBEDDER)
    filled = load_imported_voice(settings_of(path, *CONTENT, EMBEDDER, "rvc.f0_convention=interpolated"))

    assert isinstance(filled.model.frontend.pitch_tracker, FilledPitch)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"rvc\.f0_convention=guess is unknown; allowed: zero_unvoiced, interpolated"):
        settings_of(path, "rvc.f0_convention=guess")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("convention", "filled"), [("zero_unvoiced", None), ("interpolated", 1)], ids=["contradiction", "filled once"]
)
def test_a_tracker_that_draws_lines_is_neither_filled_again_nor_given_to_a_voice_of_zeros(
    tmp_path: Path, convention: str, filled: int | None
) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))
    given = (*CONTENT, EMBEDDER, "pitch=interpolated", f"rvc.f0_convention={convention}")

    if filled is None:
        message = refusal(path, *given)
        assert "in unvoiced frames is interpolated, that of the voice was zero_unvoiced; type pitch=builtin" in message
        return
    tracker: Any = load_imported_voice(settings_of(path, *given)).model.frontend.pitch_tracker  # type: ignore[union-attr]

    assert isinstance(tracker, FilledPitch) and not isinstance(tracker.tracker, FilledPitch)


@pytest.mark.usefixtures("small")
def test_only_parameters_of_the_file_count_as_matched(tmp_path: Path) -> None:
    network = small_generator()
    path = saved(tmp_path / "bob.pth", webui_voice(network))

    summary = imported.load_imported_network(path).summary

    assert summary.startswith(f"{len(shared_weights(network))} parameters matched; 0 missing; 0 unexpected")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("version", "rate", "dim", "group", "layer"),
    [("v1", "40k", 256, "contentvec_v1", 9), ("v2", "40k", 768, "contentvec", 12)],
)
def test_each_version_gets_its_layer_and_size_of_contentvec(
    tmp_path: Path, version: str, rate: str, dim: int, group: str, layer: int
) -> None:
    network = small_generator(f"rvc_{version}_{rate}", content_dim=dim)
    config = [1025, 32, 8, 8, 16, 2, 1, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, [10, 10, 2, 2], 32, [16, 16, 4, 4]]
    content = webui_voice(network, config=[*config, 1, 4, 40000], sr=rate, version=version)
    path = saved(tmp_path / "bob.pth", content)
    encoder = write_hubert(tmp_path / "contentvec", num_hidden_layers=12, projection_dim=dim)
    given = (f"content={group}", f"content.path={encoder}", "content.is_projected=true")
    zeros = "rvc.f0_convention=zero_unvoiced"

    assert f"give that encoder with content={group} content.path=" in refusal(path, zeros)
    loaded = load_imported_voice(settings_of(path, *given, zeros))
    other = refusal(path, *given, zeros, f"content.layer={21 - layer}")

    assert loaded.dataset_info["features"]["content"]["identity"]["layer"] == layer
    assert "content encoder contentvec, f0 zero_unvoiced" in imported.explain_import(loaded)
    assert f"({version}) needs {dim} values of layer {layer}, the encoder contentvec gives {dim} of layer" in other


@pytest.mark.usefixtures("small")
def test_the_voice_hears_unvoiced_frames_as_its_file_says(tmp_path: Path) -> None:
    sound = torch.from_numpy(voice(0.6, 48000))[None].repeat(1, 2)
    sound[:, 20000:34000] = 0.05 * torch.randn(14000, generator=torch.Generator().manual_seed(0))
    heard = {}
    for convention in ("zero_unvoiced", "interpolated"):
        content = {
            **webui_voice(small_generator()),
            "voclo_trainer": {"f0_convention": convention, "embedder": "random"},
        }
        path = saved(tmp_path / f"{convention}.pth", content)
        model = load_imported_voice(settings_of(path, *CONTENT)).model
        assert model.frontend is not None
        heard[convention] = model.frontend(sound[:, :57600])[1][0]

    unvoiced = heard["zero_unvoiced"] == 0
    assert 5 < int(unvoiced.sum()) < 115
    assert bool((heard["interpolated"][unvoiced] > 0).all())
    torch.testing.assert_close(heard["interpolated"][~unvoiced], heard["zero_unvoiced"][~unvoiced], rtol=0, atol=0)


@pytest.mark.usefixtures("small")
def test_other_weights_of_the_recorded_encoder_are_said(tmp_path: Path) -> None:
    own = {"f0_convention": "zero_unvoiced", "embedder": "contentvec"}
    first, second = (
        write_hubert(tmp_path / str(seed), num_hidden_layers=12, projection_dim=768, seed=seed) for seed in (0, 1)
    )
    given = [
        ("content=contentvec", f"content.path={folder}", "content.is_projected=true") for folder in (first, second)
    ]
    path = saved(tmp_path / "bob.pth", {**webui_voice(small_generator()), "voclo_trainer": own})
    identity = load_imported_voice(settings_of(path, *given[0])).dataset_info["features"]["content"]["identity"]
    saved(path, {**webui_voice(small_generator()), "voclo_trainer": {**own, "encoder": identity}})

    same, other = (imported.explain_import(load_imported_voice(settings_of(path, *item)))[-1] for item in given)

    assert same == "content encoder contentvec, f0 zero_unvoiced"
    assert "with other weights or another precision than the file records" in other


@pytest.mark.usefixtures("small")
def test_the_file_is_read_once_for_voice_and_explanation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "bob.pth", applio_voice(small_generator(), embedder_model="random"))
    reads: list[Path] = []

    def counted(file: Path) -> Any:
        reads.append(file)
        return read_foreign(file)

    monkeypatch.setattr(imported, "read_foreign", counted)
    said = imported.explain_import(load_imported_voice(settings_of(path, *CONTENT)))

    assert said[0].startswith("bob.pth: shared voice of Applio, generator v2 48k with f0 at 48000 Hz")
    assert reads == [path]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "give that encoder with content=contentvec content.path=<folder, file or hf:user/model>"),
        (CONTENT, "was trained on content features of contentvec, content gives random"),
        (("content=toy", EMBEDDER), "needs 768 values of layer 12, the encoder random gives 16"),
        ((*CONTENT, EMBEDDER, "rvc.f0_convention=interpolated", "pitch=dio"), "cannot stand inside a graph"),
        ((*CONTENT, EMBEDDER, "rvc.speakers=[]"), "rvc.speakers"),
    ],
)
def test_what_an_imported_voice_lacks_is_named(tmp_path: Path, overrides: tuple[str, ...], message: str) -> None:
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator()))

    assert message in refusal(path, *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("run=runs/x", "voice=bob.pth"), "run=runs/x and voice=bob.pth are given"),
        (("run=runs/x", "content=toy"), "content belongs to voice="),
        (("run=runs/x", "rvc.speakers=[0]"), "rvc.speakers belongs to voice="),
        (("voice=bob.pth", "rvc.speakers=first"), "rvc.speakers='first' must be a whole number or a list"),
    ],
)
def test_settings_without_effect_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        export_job(compose("export", list(overrides)))

    assert message in str(caught.value)


def test_a_file_that_is_no_voice_of_a_published_size_is_named(tmp_path: Path) -> None:
    odd = small_generator("rvc_v2_48k", content_dim=100)
    path = training_file(tmp_path / "G.pth", odd)

    assert "is a generator of no published size with f0; RVC v1 and v2 at 32000, 40000" in refusal(path, *CONTENT)


@pytest.mark.usefixtures("small")
def test_the_report_lists_every_parameter(tmp_path: Path) -> None:
    content = webui_voice(small_generator())
    del content["weight"]["dec.cond.bias"]
    content["weight"]["dec.more"] = torch.zeros(2)

    lines = "\n".join(imported.report_file(saved(tmp_path / "bob.pth", content))).splitlines()

    assert lines[0] == "bob.pth: shared voice of RVC-WebUI, generator v2 48k with f0 at 48000 Hz"
    assert lines[1] == "content encoder contentvec, f0 in unvoiced frames not said"
    assert [line.split(maxsplit=1) for line in lines[5:7]] == [
        ["missing", "dec.cond.bias [32]"],
        ["unexpected", "dec.more [2]"],
    ]
    assert len(lines) == 5 + len(content["weight"]) + 1


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_an_imported_voice_becomes_a_graph_with_card_and_without_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the rules of hosts judge a voice's sound, and these weights are random
    monkeypatch.setattr(flavours, "check_conformance", lambda candidate: [])
    path = saved(tmp_path / "bob.pth", webui_voice(small_generator(num_speakers=2, seed=1)))
    overrides = (f"export.root={tmp_path / 'out'}", "rvc.f0_convention=interpolated", EMBEDDER)

    outcome = export_voice(export_job(compose("export", [f"voice={path}", *CONTENT, *overrides])))

    assert outcome.failures == []
    assert outcome.index is None
    names = sorted(item.name for item in outcome.folder.iterdir())
    assert names == ["bob_sr48000_hop480_nfft2048.onnx", "card.json", "card.md"]
    metadata = VoiceSession.open(outcome.folder / names[0]).metadata
    assert metadata is not None
    assert (metadata.f0_convention, metadata.index_sha256, metadata.model_rate) == ("interpolated", None, 48000)
    assert metadata.extra["imported"]["program"] == "rvc_webui"
    assert str(tmp_path) not in metadata.to_json()
    assert any("parameters matched; 0 missing; 0 unexpected; 0 different" in note for note in outcome.notes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step of a small RVC v2 48k on content of 768 values, two speakers."""
    folder = tmp_path_factory.mktemp("rvc")
    sounds = {
        f"{name}/{index}.wav": voice(2.0, 48000, f0_hz=f0_hz, seed=index)
        for name, f0_hz in (("ann", 220.0), ("bob", 110.0))
        for index in range(2)
    }
    write_sounds(folder / "recordings", sounds, 48000)
    preprocess(make_job(folder / "recordings", folder / "datasets" / "two", "audio=rvc_48k", "content.dim=768"))
    overrides = (
        "experiment=rvc_v2_48k", "dataset.name=two", f"dataset.root={folder / 'datasets'}",
        f"run.root={folder / 'runs'}", "run.name=two", *SMALL, "discriminator.channels=64", "trainer.steps=1",
        "trainer.validate_every=1", "trainer.progress_bar=false", "trainer.media=false", "trainer.precision=32-true",
        "trainer.accelerator=cpu", "data.batch_size=2", "data.segment_frames=60", "retrieval.codebook_size=16",
    )  # fmt: skip
    return train(compose("train", list(overrides)))


def export(run: Path, kind: str, *overrides: str) -> list[str]:
    root = run.parents[1] / "exports"
    return export_foreign(
        foreign_job(compose("export", [f"run={run}", f"export={kind}", f"export.root={root}", *overrides]))
    )


@pytest.mark.slow
def test_a_run_is_written_as_a_shared_voice(run: Path) -> None:
    lines = export(run, "rvc_pth", "licence=CC0")

    file = read_foreign(run.parents[1] / "exports" / "two" / "two.pth")
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    prefix = "averaged." if any(name.startswith("averaged.") for name in state) else "generator."
    for name, value in file.weights.items():
        torch.testing.assert_close(value, state[prefix + name].half(), rtol=0, atol=0)
    assert (file.sample_rate, file.step, file.speakers) == (48000, 1, ("ann", "bob"))
    assert (file.f0_convention, file.embedder, file.own["licence"]) == ("zero_unvoiced", "random", "CC0")
    assert str(run.parent) not in str(file.own)
    assert "v2 48k with f0, encoder random, f0 zero_unvoiced, 2 speaker(s)" in lines[-2]
    assert "RVC-WebUI feeds every voice with ContentVec, this one listens to random" in lines[-1]


def with_encoder(run: Path, folder: Path, identity: dict[str, Any]) -> Path:
    """Copy the best checkpoint of a run with another identity of its content encoder."""
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content[PAYLOAD_KEY]["dataset"]["features"]["content"]["identity"] = identity
    (folder / "checkpoints").mkdir()
    torch.save(content, folder / "checkpoints" / "best.ckpt")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rvc_pth", "rvc_checkpoint", "wokada", "rvc_webui", "deiteris"])
@pytest.mark.parametrize(
    ("identity", "trained"),
    [
        ({"id": "hubert", "layer": 9}, "layer 9 without projection of hubert"),
        ({"id": "contentvec", "layer": 12, "is_projected": True}, "layer 12 with projection of contentvec"),
    ],
    ids=["layer", "projection"],
)
def test_a_run_of_another_layer_is_not_written_for_programs_that_give_their_own(
    run: Path, tmp_path: Path, kind: str, identity: dict[str, Any], trained: str
) -> None:
    other = with_encoder(run, tmp_path, {"version": "2", "dim": 768, **identity})

    with pytest.raises(ConfigError) as caught:
        run_foreign(compose("export", [f"run={other}", f"export={kind}", f"export.root={tmp_path / 'out'}"]))

    message = str(caught.value)
    assert f"{trained}, but every program gives RVC v2 layer 12 without projection" in message
    assert "\n" not in message and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_graph_for_another_program_tells_what_its_run_was_trained_on(run: Path, tmp_path: Path) -> None:
    identity = {"id": "contentvec", "version": "2", "dim": 768, "layer": 12, "weights_sha256": "ab12"}
    other = with_encoder(run, tmp_path, identity)
    job = generators.generator_job(compose("export", [f"run={other}", "export=wokada"]))

    said = json.loads(generators.own_metadata(job, generators.load_generator(job)))

    assert (said["schema_version"], said["encoder_identity"]) == (2, identity)
    assert said["dataset_fingerprint"] == CorpusStore.open(run.parents[1] / "datasets" / "two").fingerprint
    assert said["pitch"]["id"] and set(said["metrics"]) >= {"val/mel"}


@pytest.mark.slow
def test_a_voice_of_contentvec_needs_no_note(run: Path, tmp_path: Path) -> None:
    other = with_encoder(run, tmp_path, {"id": "contentvec", "version": "2", "dim": 768, "layer": 12})

    lines = run_foreign(compose("export", [f"run={other}", "export=rvc_pth", f"export.root={tmp_path / 'out'}"]))

    assert not [line for line in lines if line.startswith("note")]


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_written_voice_can_be_imported_again_without_questions(run: Path) -> None:
    export(run, "rvc_pth", "name=again")

    loaded = load_imported_voice(settings_of(run.parents[1] / "exports" / "again" / "again.pth", *CONTENT))

    assert loaded.speakers == ["ann", "bob"]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["either", "rvc_webui", "applio"])
def test_a_run_is_written_as_a_pair_to_resume_from(run: Path, order: str) -> None:
    lines = export(run, "rvc_checkpoint", f"export.resume_in={order}", f"name={order}")

    folder = run.parents[1] / "exports" / order
    generator, discriminator = (torch.load(folder / f"{letter}_1.pth", weights_only=True) for letter in "GD")
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert generator["model"]["emb_g.weight"].shape[0] == 109
    for prefix, model in (("generator.", generator["model"]), ("discriminator.", discriminator["model"])):
        assert {prefix + name for name in model} == {name for name in state if name.startswith(prefix)}
        for name, value in model.items():
            ours = state[prefix + name]
            torch.testing.assert_close(value[: len(ours)], ours, rtol=0, atol=0)
    assert (generator["iteration"], generator["learning_rate"]) == (1, 1e-4)
    assert bool(generator["optimizer"]["state"]) == (order != "either")
    assert len(discriminator["optimizer"]["state"]) == len(discriminator["model"])
    assert any("numbered as" in line or "starts anew" in line for line in lines)
    assert read_foreign(folder / "G_1.pth").layout.has_posterior


@pytest.mark.slow
def test_a_failed_write_leaves_the_earlier_file(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(run, "rvc_pth", "name=kept")
    path = run.parents[1] / "exports" / "kept" / "kept.pth"
    before = path.read_bytes()

    def fail(content: Any, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        export(run, "rvc_pth", "name=kept")

    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["kept.pth"]


@pytest.mark.slow
def test_training_begins_with_a_written_pair(run: Path) -> None:
    export(run, "rvc_checkpoint", "name=base")
    base = run.parents[1] / "exports" / "base"
    config = OmegaConf.load(run / "config.yaml")
    config.run.name = "continued"
    config.pretrained.generator, config.pretrained.discriminator = str(base / "G_1.pth"), str(base / "D_1.pth")
    assert isinstance(config, DictConfig)

    continued = train(config)

    content = torch.load(continued / "checkpoints" / "last.ckpt", weights_only=True)
    assert content[PAYLOAD_KEY]["dataset"]["speakers"][1]["name"] == "bob"


@pytest.mark.slow
def test_a_damaged_pretrained_file_stops_before_the_run_exists(run: Path, tmp_path: Path) -> None:
    config = OmegaConf.load(run / "config.yaml")
    config.run.name, config.pretrained.generator = "damaged", str(tmp_path / "f0G48k.pth")
    (tmp_path / "f0G48k.pth").write_bytes(b"<html>not found</html>")
    assert isinstance(config, DictConfig)

    with pytest.raises(FormatError, match="is a text file"):
        train(config)

    assert not list(run.parent.glob("damaged/checkpoints/*"))


@pytest.mark.slow
def test_a_run_of_another_architecture_is_refused(run: Path, tmp_path: Path) -> None:
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["state_dict"] = {"generator.input.weight": torch.zeros(2), "steps_done": torch.tensor(1)}
    (tmp_path / "checkpoints").mkdir()
    torch.save(content, tmp_path / "checkpoints" / "best.ckpt")
    job = foreign_job(compose("export", [f"run={run}", "export=rvc_pth", "name=other"]))

    with pytest.raises(ConfigError, match="has no generator of RVC; export=rvc_pth needs a run of experiment=rvc_"):
        export_foreign(replace(job, run=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("voice={file}",), 2, "error: {file} is a text file"),
        (("voice={file}", "export=rvc_pth"), 2, "error: export=rvc_pth writes a run of train.py"),
        (
            ("run={run}", "export=rvc_pth", "name=by_script", "export.root={root}"),
            0,
            "wrote {root}/by_script/by_script.pth",
        ),
    ],
)
def test_the_script_prints_and_exits(
    run: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    places = {"file": str(tmp_path / "bob.pth"), "run": str(run), "root": str(tmp_path / "out")}
    (tmp_path / "bob.pth").write_text("not a voice")
    command = [sys.executable, str(ROOT / "export_onnx.py"), *(item.format(**places) for item in arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert finished.returncode == code, finished.stderr
    assert text.format(**places) in (finished.stderr if code else finished.stdout)
    assert "Traceback" not in finished.stderr
