"""The whole recipe: the teacher's features, the training and the weights; started again it continues."""

import logging
from collections.abc import Mapping
from pathlib import Path

from recipes.content_encoder.delivery import export
from recipes.content_encoder.settings import ContentEncoderSettings
from recipes.content_encoder.student import StudentSizes
from recipes.content_encoder.teacher_features import Features, load_features, make_features, minutes_table
from recipes.content_encoder.training import train
from recipes.settings import CorpusSettings
from utils.audio.listing import list_audio
from utils.config import to_yaml
from utils.console import emit, table
from utils.errors import ConfigError
from utils.files import atomic_write_text, sha256_of_json

FEATURES_FILE, SOURCE_FILE, CHECKPOINT_FILE, WEIGHTS_FILE = (
    "features.pt", "features.json", "encoder.ckpt", "content.safetensors",
)  # fmt: skip
log = logging.getLogger(__name__)


def make_content_encoder(settings: ContentEncoderSettings, *, sizes: StudentSizes | None = None) -> float:
    """Train an encoder in a run's folder and write its weights; return its distance to the teacher, 1 - cosine.

    Args:
        settings: of the recipe.
        sizes: of a student that starts from nothing; None means the shipped one's, which starts from the teacher.
    Raises:
        ConfigError: if a folder of recordings is absent, or the run has other recordings.
    """
    run = settings.run_folder
    if (run / "checkpoints").is_dir():
        raise ConfigError(f"{run} holds the run of a voice; give another name with run.name=")
    features = prepare_features(settings.corpora, run, workers=settings.workers)
    emit(minutes_table(features.clips))
    result = train(
        features, run / CHECKPOINT_FILE, num_steps=settings.steps, seed=settings.seed, sizes=sizes or StudentSizes(),
        is_warm=sizes is None, start=settings.start, rate=settings.rate,
        on_start=lambda: atomic_write_text(
            run / "config.yaml", to_yaml(settings.model_dump())
        ),
    )  # fmt: skip
    emit(table([[name.replace("_", " "), value] for name, value in result._asdict().items()], ["held out", "value"]))
    weights = run / WEIGHTS_FILE
    if weights.exists():
        emit(f"{weights} was written before and is left as it is")
    else:
        export(run / CHECKPOINT_FILE, weights, features, version=settings.version)
    emit(f"next: python preprocess.py dataset.source=<recordings> dataset.name=<name> content.weights={weights}")
    return 1 - result.cosine


def prepare_features(corpora: Mapping[str, CorpusSettings], run: Path, *, workers: int) -> Features:
    """Return the teacher's features of all recordings, computed once for a run.

    Raises:
        ConfigError: if a folder is absent, or the run was begun with other recordings.
    """
    found = [item.corpus(name) for name, item in corpora.items()]
    held_out = {name: item.held_out for name, item in corpora.items() if item.held_out}
    files = [
        [str(path.relative_to(item.folder)), path.stat().st_size if path.exists() else None]  # a link may lead nowhere
        for item in found
        for path in list_audio(item.folder)
    ]
    origin = sha256_of_json([[[item.name, str(item.folder.resolve()), item.share] for item in found], held_out, files])
    path, source = run / FEATURES_FILE, run / SOURCE_FILE
    if path.is_file() and source.is_file() and source.read_text(encoding="utf-8") == origin:
        return load_features(path)
    if (run / CHECKPOINT_FILE).is_file():
        raise ConfigError(f"{run} was begun with other recordings; give another name with run.name=")
    features = make_features(found, held_out, path, workers=workers)
    atomic_write_text(source, origin)
    return features
