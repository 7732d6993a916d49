"""python train.py experiment=content_encoder: teacher features, training, weights; started again it continues."""

import logging
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from recipes.content_encoder.corpora import Corpus
from recipes.content_encoder.distil import Sizes, export, train
from recipes.content_encoder.teacher import Features, load_features, make_features, minutes_table
from utils.audio.listing import list_audio
from utils.config import MAX_SEED, check_range, to_plain
from utils.config.environment import run_suffix
from utils.console import emit, table
from utils.errors import ConfigError
from utils.files import atomic_write_text, sha256_of_json

FEATURES_FILE, SOURCE_FILE, CHECKPOINT_FILE, WEIGHTS_FILE = (
    "features.pt", "features.json", "encoder.ckpt", "content.safetensors",
)  # fmt: skip
log = logging.getLogger(__name__)


def train_content_encoder(config: DictConfig, *, sizes: Sizes | None = None) -> float:
    """Train an encoder in a run's folder and write its weights; return its distance to the teacher, 1 - cosine.

    Args:
        config: of experiment=content_encoder.
        sizes: of a student that starts from nothing; None means the shipped one's, which starts from the teacher.
    Raises:
        ConfigError: if the task is another, a value is out of range, a folder of recordings is absent, or the run has
            other recordings.
    """
    if config.task != "content_encoder" or "content_encoder" not in config:
        raise ConfigError(
            f"task={config.task} cannot be chosen by itself; type experiment=content_encoder, or task=voice"
        )
    settings = config.content_encoder
    check_range("content_encoder.steps", settings.steps, 1)
    check_range("content_encoder.workers", settings.workers, 1)
    check_range("content_encoder.rate", settings.rate, 1e-7, 0.1)
    start = None if settings.start is None else Path(str(settings.start)).expanduser()
    check_range("seed", config.seed, 0, MAX_SEED)
    run = Path(config.run.root) / f"{config.run.name}{run_suffix()}"
    if (run / "checkpoints").is_dir():
        raise ConfigError(f"{run} holds the run of a voice; give another name with run.name=")
    features = prepare_features(to_plain(settings.corpora), run, workers=int(settings.workers))
    emit(minutes_table(features.clips))
    result = train(
        features, run / CHECKPOINT_FILE, num_steps=int(settings.steps), seed=int(config.seed),
        sizes=sizes or Sizes(), is_warm=sizes is None, start=start, rate=float(settings.rate),
        on_start=lambda: atomic_write_text(run / "config.yaml", OmegaConf.to_yaml(config, resolve=True)),
    )  # fmt: skip
    emit(table([[name.replace("_", " "), value] for name, value in result._asdict().items()], ["held out", "value"]))
    weights = run / WEIGHTS_FILE
    if weights.exists():
        emit(f"{weights} was written before and is left as it is")
    else:
        export(run / CHECKPOINT_FILE, weights, features, version=str(settings.version))
    emit(f"next: python preprocess.py dataset.source=<recordings> dataset.name=<name> content.weights={weights}")
    return 1 - result.cosine


def prepare_features(corpora: dict[str, dict[str, object]], run: Path, *, workers: int) -> Features:
    """Return the teacher's features of all recordings, computed once for a run.

    Raises:
        ConfigError: if a corpus is not usable, or the run was begun with others.
    """
    found = [_corpus(name, values) for name, values in corpora.items()]
    held_out = {name: count for name, values in corpora.items() if (count := _held_out(name, values))}
    if not held_out:
        raise ConfigError(
            "content_encoder.corpora: no held_out above 0; without speakers kept apart there is no validation"
        )
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


def _corpus(name: str, values: dict[str, object]) -> Corpus:
    if set(values) != {"folder", "share", "held_out"}:
        raise ConfigError(f"content_encoder.corpora.{name} has {sorted(values)}; needed: folder, share, held_out")
    folder, share = Path(str(values["folder"])).expanduser(), values["share"]
    if not isinstance(share, int | float) or not share > 0:
        raise ConfigError(f"content_encoder.corpora.{name}.share={share} is out of range; give a number above 0")
    if not folder.is_dir():
        raise ConfigError(
            f"content_encoder.corpora.{name}.folder={folder} is not a folder; docs/guides/content_encoder.md says how "
            f"to get the recordings, '~content_encoder.corpora.{name}' leaves it out"
        )
    return Corpus(name, folder, float(share))


def _held_out(name: str, values: dict[str, object]) -> int:
    count = values["held_out"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ConfigError(f"content_encoder.corpora.{name}.held_out={count} is out of range; give 0 or more speakers")
    return count
