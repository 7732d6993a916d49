"""The whole way of an RVC voice through the four scripts, with a tiny random HuBERT and a tiny RVC."""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.tools.corpus_tools import write_sounds
from tests.tools.hubert_tools import write_hubert
from tests.tools.rvc_tools import SMALL
from utils.audio.synthetic_speech import voice
from utils.config.roots import JOBS
from utils.corpus.store import CorpusStore
from utils.export import graph_kinds
from utils.features.index import load_index
from utils.features.pitch.filling import FilledPitch
from utils.inference.session import VoiceSession
from utils.rvc.reading import read_foreign
from utils.training.checkpoints import load_voice, read_checkpoint
from utils.verification.file_rules import check_inputs, check_output
from utils.verification.host_rules import check_seams
from utils.verification.parity_rules import check_parity

CORPUS = Path(__file__).resolve().parents[2] / ".." / "shared" / "corpora" / "kathleen"
# no codebook: after three updates a voice hardly listens to its content, and a rule asks for an effect of retrieval
FAST = (
    *SMALL, "discriminator.channels=64", "data.batch_size=2", "data.segment_frames=60", "data.val_segment_frames=60",
    "retrieval.codebook_size=0", "trainer.precision=32-true", "trainer.accelerator=cpu",
    "trainer.progress_bar=false", "trainer.media=false",
)  # fmt: skip

SHORT = ("export.verify_minutes=0", "export.verify_blocks=0")  # only a graph is verified


@dataclass(frozen=True)
class Way:
    """Where everything is, and how a script is run: as its main, without the start of another process."""

    root: Path
    version: str
    rate: str
    content: tuple[str, ...]

    def script(self, name: str, *overrides: str) -> None:
        main = importlib.import_module(name).main
        main(JOBS[{"export_onnx": "export"}.get(name, name)].from_overrides(overrides))

    def preprocess(self, *overrides: str) -> CorpusStore:
        places = (f"dataset.source={self.root / 'recordings'}", f"dataset.root={self.root}", "dataset.name=data")
        fixed = ("preprocess.num_workers=0", "preprocess.content_speeds=[]", f"audio=rvc_{self.rate}")
        self.script("preprocess", *places, *fixed, *self.content, *overrides)
        return CorpusStore.open(self.root / "data")

    def train(self, steps: int, *overrides: str) -> Path:
        length = (f"trainer.steps={steps}", f"trainer.validate_every={steps}", f"run.root={self.root}", "run.name=run")
        data = (f"dataset.root={self.root}", "dataset.name=data", f"experiment=rvc_{self.version}_{self.rate}")
        self.script("train", *data, *length, *FAST, *overrides)
        return self.root / "run"

    def export(self, *overrides: str) -> Path:
        place = ("name=bob", "checkpoint=last", f"export.root={self.root / 'exports'}")
        self.script("export_onnx", f"run={self.root / 'run'}", *place, *overrides)
        return self.root / "exports" / "bob"


def tiny_contentvec(folder: Path, dim: int) -> Path:
    """Twelve layers, as the layer that a version of RVC listens to asks for, and a projection to its size."""
    return write_hubert(folder, num_hidden_layers=12, projection_dim=dim, is_calm=True)


def prepared_way(root: Path, version: str, rate: str, sounds: dict[str, np.ndarray]) -> Way:
    group, dim = ("contentvec_v1", 256) if version == "v1" else ("contentvec", 768)
    path = tiny_contentvec(root / "contentvec", dim)
    write_sounds(root / "recordings", sounds, int(rate.removesuffix("k")) * 1000)
    return Way(root, version, rate, (f"content={group}", f"content.path={path}", "content.is_projected=true"))


def difference(first: Path, second: Path) -> list[str]:
    ours, theirs = (read_checkpoint(path)["state_dict"] for path in (first, second))
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def converted(way: Way, graph: Path, recording: Path) -> dict[str, object]:
    output, report = way.root / "out.wav", way.root / "report.json"
    way.script(
        "test_model", f"onnx={graph}", f"audio.path={recording}", f"output={output}", f"report={report}", "threads=[1]"
    )
    audio, rate = soundfile.read(output)
    original, _ = soundfile.read(recording)
    assert (len(audio), rate) == (len(original), 40000 if way.rate == "40k" else 48000)
    assert np.isfinite(audio).all() and np.abs(audio).max() > 1e-4
    described: dict[str, object] = json.loads(report.read_text())["graph"]
    return described


@pytest.mark.slow
def test_synthetic_recordings_become_a_v1_voice_with_interpolated_pitch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # most rules have tests of their own and take ten times as long as all the rest
    chosen = (check_inputs, check_output, check_parity)
    monkeypatch.setattr(graph_kinds, "verify", lambda *pair: [rule(*pair) for rule in chosen])
    sounds = {f"{index}.wav": voice(1.2, 40000, f0_hz=110 + 15 * index, seed=index) for index in range(4)}
    way = prepared_way(tmp_path, "v1", "40k", sounds)

    store = way.preprocess("pitch=interpolated")
    f0_hz = np.concatenate([store.feature("f0_hz", clip) for clip in store.split("train")])
    assert store.content_dim == 256 and (f0_hz > 0).all()

    run = way.train(2)
    first = (run / "checkpoints" / "last.ckpt").read_bytes()
    way.train(3, "resume=last")
    (tmp_path / "two.ckpt").write_bytes(first)
    assert difference(tmp_path / "two.ckpt", run / "checkpoints" / "last.ckpt")

    folder = way.export(*SHORT)
    graph = folder / "bob_sr40000_hop400_nfft2048.onnx"
    described = converted(way, graph, tmp_path / "recordings" / "0.wav")
    assert described["keeps_length"] is True
    metadata = VoiceSession.open(graph).metadata
    assert metadata is not None
    assert (metadata.f0_convention, metadata.encoder["id"], metadata.encoder["layer"]) == (
        "interpolated",
        "contentvec",
        9,
    )
    assert metadata.encoder["is_projected"] is True
    assert "a line between the voiced ones" in (folder / "card.md").read_text()
    assert load_index(folder / "bob.index").ntotal == sum(clip.num_frames for clip in store.split("train"))

    way.export("export=rvc_pth")
    file = read_foreign(folder / "bob.pth")
    assert (file.f0_convention, file.embedder, file.layout.version) == ("interpolated", "contentvec", "v1")


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpora is not here")
def test_a_real_recording_becomes_a_v2_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_kinds, "verify", lambda *pair: [check_parity(*pair), check_seams(pair[0])])
    sounds = {
        path.stem + ".wav": soundfile.read(path, dtype="float32")[0] for path in sorted(CORPUS.glob("*.flac"))[:4]
    }
    way = prepared_way(tmp_path, "v2", "48k", sounds)

    way.preprocess()
    way.train(2)
    run = way.train(3, "resume=last")
    folder = way.export(*SHORT)

    names = sorted(path.name for path in folder.iterdir())
    assert names == ["bob.index", "bob_sr48000_hop480_nfft2048.onnx", "card.json", "card.md"]
    converted(way, folder / names[1], tmp_path / "recordings" / sorted(sounds)[0])
    assert not isinstance(load_voice(run).converter.frontend.pitch_tracker, FilledPitch)  # type: ignore[attr-defined]
