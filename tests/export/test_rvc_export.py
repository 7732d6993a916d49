"""From a run to the files of RVC's programs and back."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
import torch
import yaml

from models.toy import ToyVoice
from tests.tools.rvc_tools import (
    SMALL,
    settings_of,
)
from tests.tools.training_tools import make_two_speakers
from utils.config import from_yaml
from utils.config.export import export_job
from utils.config.train import TrainJob, train_job
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, FormatError
from utils.export import export
from utils.export.plans import plan_files, plan_generator
from utils.export.report import export_text
from utils.export.rvc import generators
from utils.export.rvc.files import export_files
from utils.export.rvc.generator_voice import load_generator
from utils.export.rvc.imported_voice import load_imported_voice
from utils.rvc.reading import read_foreign
from utils.training.checkpoint_checks import PAYLOAD_KEY
from utils.training.fit import train

ROOT = Path(__file__).resolve().parents[2]
CONTENT = ("content=toy", "content.dim=768")
EMBEDDER = "rvc.embedder=random"  # the name of content=toy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step of a small RVC v2 48k on content of 768 values, two speakers."""
    folder = tmp_path_factory.mktemp("rvc")
    make_two_speakers(folder, 48000, "audio=rvc_48k", "content.dim=768")
    overrides = (
        "experiment=rvc_v2_48k", "dataset.name=two", f"dataset.root={folder / 'datasets'}",
        f"run.root={folder / 'runs'}", "run.name=two", *SMALL, "discriminator.channels=64", "trainer.steps=1",
        "trainer.validate_every=1", "trainer.progress_bar=false", "trainer.media=false", "trainer.precision=32-true",
        "trainer.accelerator=cpu", "data.batch_size=2", "data.segment_frames=60", "retrieval.codebook_size=16",
    )  # fmt: skip
    return train(train_job(list(overrides)))


def job_of(run: Path) -> TrainJob:
    """Return the job that a run was trained with, from the file in its folder."""
    return TrainJob.from_plain(from_yaml((run / "config.yaml").read_text(encoding="utf-8")))


def written(run: Path, kind: str, *overrides: str) -> list[str]:
    """Export a run and return what a person is told."""
    root = run.parents[1] / "exports"
    outcome = export(export_job([f"run={run}", f"export={kind}", f"export.root={root}", *overrides]))
    return export_text(outcome).splitlines()


@pytest.mark.slow
def test_a_name_that_other_programs_pass_over_is_said(run: Path) -> None:
    lines = written(run, "rvc_pth", "name=well_trained")

    assert any("pass over files with 'trained' in their names, such as well_trained" in line for line in lines)


@pytest.mark.slow
def test_a_run_is_written_as_a_shared_voice(run: Path) -> None:
    lines = written(run, "rvc_pth", "licence=CC0")

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
        export(export_job([f"run={other}", f"export={kind}", f"export.root={tmp_path / 'out'}"]))

    message = str(caught.value)
    assert f"{trained}, but every program gives RVC v2 layer 12 without projection" in message
    assert "\n" not in message and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_graph_for_another_program_tells_what_its_run_was_trained_on(run: Path, tmp_path: Path) -> None:
    identity = {"id": "contentvec", "version": "2", "dim": 768, "layer": 12, "weights_sha256": "ab12"}
    other = with_encoder(run, tmp_path, identity)
    job = plan_generator(export_job([f"run={other}", "export=wokada"]))

    said = json.loads(generators.own_metadata(job, load_generator(job)))

    assert (said["schema_version"], said["encoder_identity"]) == (2, identity)
    assert said["dataset_fingerprint"] == CorpusStore.open(run.parents[1] / "datasets" / "two").fingerprint
    assert said["pitch"]["id"] and set(said["metrics"]) >= {"val/mel"}


@pytest.mark.slow
def test_a_voice_of_contentvec_needs_no_note(run: Path, tmp_path: Path) -> None:
    other = with_encoder(run, tmp_path, {"id": "contentvec", "version": "2", "dim": 768, "layer": 12})

    outcome = export(export_job([f"run={other}", "export=rvc_pth", f"export.root={tmp_path / 'out'}"]))

    assert not [line for line in outcome.notes if line.startswith("note")]


@pytest.mark.slow
def test_a_written_voice_can_be_imported_again_without_questions(run: Path) -> None:
    written(run, "rvc_pth", "name=again")

    loaded = load_imported_voice(settings_of(run.parents[1] / "exports" / "again" / "again.pth", *CONTENT))

    assert loaded.speakers == ["ann", "bob"]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["either", "rvc_webui", "applio"])
def test_a_run_is_written_as_a_pair_to_resume_from(run: Path, order: str) -> None:
    lines = written(run, "rvc_checkpoint", f"export.resume_in={order}", f"name={order}")

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
    written(run, "rvc_pth", "name=kept")
    path = run.parents[1] / "exports" / "kept" / "kept.pth"
    before = path.read_bytes()

    def fail(content: Any, stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        written(run, "rvc_pth", "name=kept")

    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["kept.pth"]


@pytest.mark.slow
def test_training_begins_with_a_written_pair(run: Path) -> None:
    written(run, "rvc_checkpoint", "name=base")
    base = run.parents[1] / "exports" / "base"
    changes = {"run.name": "continued"}
    changes |= {"pretrained.generator": str(base / "G_1.pth"), "pretrained.discriminator": str(base / "D_1.pth")}

    continued = train(job_of(run).with_values(changes))

    content = torch.load(continued / "checkpoints" / "last.ckpt", weights_only=True)
    assert content[PAYLOAD_KEY]["dataset"]["speakers"][1]["name"] == "bob"


@pytest.mark.slow
def test_a_damaged_pretrained_file_stops_before_the_run_exists(run: Path, tmp_path: Path) -> None:
    (tmp_path / "f0G48k.pth").write_bytes(b"<html>not found</html>")
    job = job_of(run).with_values({"run.name": "damaged", "pretrained.generator": str(tmp_path / "f0G48k.pth")})

    with pytest.raises(FormatError, match="is a text file"):
        train(job)

    assert not list(run.parent.glob("damaged/checkpoints/*"))


@pytest.mark.slow
def test_a_run_of_another_architecture_is_refused(run: Path, tmp_path: Path) -> None:
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    dataset = content[PAYLOAD_KEY]["dataset"]
    toy = {"sample_rate": 40000, "n_fft": 1600}
    network = ToyVoice(**toy, content_dim=dataset["features"]["content"]["dim"], num_speakers=len(dataset["speakers"]))
    config = yaml.safe_load(content[PAYLOAD_KEY]["config"]) | {"model": {"_target_": "models.toy.ToyVoice", **toy}}
    content[PAYLOAD_KEY]["config"] = yaml.safe_dump(config)
    weights = {f"generator.{name}": value for name, value in network.state_dict().items()}
    content["state_dict"] = {**weights, "steps_done": torch.tensor(1)}
    (tmp_path / "checkpoints").mkdir()
    torch.save(content, tmp_path / "checkpoints" / "best.ckpt")
    job = plan_files(export_job([f"run={run}", "export=rvc_pth", "name=other"]))

    with pytest.raises(ConfigError, match="has no generator of RVC; export=rvc_pth needs a run of experiment=rvc_"):
        export_files(replace(job, run=tmp_path))


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
