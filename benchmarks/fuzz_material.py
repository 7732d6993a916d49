"""Small good files that fuzzing damages: a dataset, a run on it, its voice, and a shared voice of RVC."""

from dataclasses import dataclass, replace
from pathlib import Path

from utils.audio.synthetic_speech import write_recordings
from utils.config.export import export_job
from utils.config.preprocess import preprocess_job
from utils.config.train import train_job
from utils.corpus import preprocess
from utils.export.delivery import export_voice
from utils.export.plans import plan_export
from utils.training import train

RATE = 16000
DATASET = ["audio=16k", "content=toy", "pitch=builtin", "preprocess.num_workers=0", "preprocess.content_speeds=[]"]
TRAINING = [  # until pieces of its sound join without clicks, as an export asks
    "audio=16k", "model=toy", "discriminator=none", "data.batch_size=2", "data.segment_frames=40",
    "data.perturbed_share=0", "retrieval.codebook_size=16", "trainer.precision=32-true", "trainer.accelerator=cpu",
    "trainer.progress_bar=false", "trainer.media=false",
]  # fmt: skip
STEPS = 120
EXPORT = ["export.verify_minutes=0.1", "export.verify_blocks=20"]
SPEAKERS = {"anna": 220.0, "bert": 110.0}  # name -> pitch in Hz


@dataclass(frozen=True)
class Material:
    """Where the good files lie."""

    recordings: Path
    dataset: Path
    run: Path
    voice: Path


def make_recordings(folder: Path, num_files: int = 3) -> None:
    """Write synthetic recordings of two speakers."""
    for speaker, f0_hz in SPEAKERS.items():
        write_recordings(folder / speaker, num_files=num_files, seconds=2.0, f0_hz=f0_hz, sample_rate=RATE)


def dataset_words(recordings: Path, root: Path, name: str = "tiny") -> list[str]:
    """Return the command line that prepares recordings."""
    return [f"dataset.source={recordings}", f"dataset.name={name}", f"dataset.root={root}", *DATASET]


def training_words(datasets: Path, runs: Path, name: str, steps: int) -> list[str]:
    """Return the command line of a training of few steps."""
    places = ["dataset.name=tiny", f"dataset.root={datasets}", f"run.root={runs}", f"run.name={name}"]
    return [*places, *TRAINING, f"trainer.steps={steps}", f"trainer.validate_every={steps}"]


def export_words(run: Path, root: Path, name: str = "tiny") -> list[str]:
    """Return the command line that exports a run."""
    return [f"run={run}", f"name={name}", f"export.root={root}", *EXPORT]


def make_material(work: Path) -> Material:
    """Make the good files, or find those of an earlier call in the same folder."""
    recordings, datasets, runs, voices = (work / name for name in ("recordings", "datasets", "runs", "voices"))
    if not (datasets / "tiny" / "dataset.json").is_file():
        make_recordings(recordings)
        preprocess(preprocess_job(dataset_words(recordings, datasets)))
    if not (runs / "tiny" / "metrics.json").is_file():
        train(train_job([*training_words(datasets, runs, "tiny", STEPS), "run.replace=true"]))
    found = list(voices.glob("tiny/*.onnx"))
    if not found:
        plan = plan_export(export_job(export_words(runs / "tiny", voices)))
        # what speech through so small a voice sounds like says nothing here
        export_voice(replace(plan, extent=replace(plan.extent, listens=False))).require_success()
        found = list(voices.glob("tiny/*.onnx"))
    return Material(recordings, datasets / "tiny", runs / "tiny", found[0])
