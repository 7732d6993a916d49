"""What a run leaves behind and how a voice is read back from it."""

import logging
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from utils.audio.resample import RationalResampler
from utils.config import Pluggable, from_yaml
from utils.config.renamed import with_current_targets
from utils.corpus.description import DatasetDescription, FeatureDescription
from utils.errors import ConfigError, FormatError
from utils.features.frontend import AnalysisFrontend
from utils.files import atomic_write_bytes
from utils.training.codebook import read_codebook

PAYLOAD_KEY = "voclo_trainer"
SCHEMA_VERSION = 1
log = logging.getLogger(__name__)


@dataclass
class TrainedVoice:
    """A trained voice ready to convert.

    Attributes:
        model: generator in eval mode.
        converter: from audio to audio at io_rate, with the generator, front end and retrieval.
        config: the run's resolved configuration, as it was stored.
        dataset: the training data.
        step: generator updates behind these weights.
        metrics: validation figures of these weights; none where they were saved between two validations.
        pretrained: name and SHA-256 of the weights that the run started from, by network; None where its checkpoint
            does not say.
        imported: what is known of the file that the voice was imported from; None for a voice of train.py.
    """

    model: BaseVoiceConversionModel
    converter: AudioConverter
    config: dict[str, Any]
    dataset: DatasetDescription
    step: int
    metrics: dict[str, float]
    pretrained: dict[str, dict[str, str]] | None = None
    imported: dict[str, Any] | None = None

    @property
    def speakers(self) -> list[str]:
        """Names; the index is the speaker_id."""
        return self.dataset.speaker_names

    @property
    def io_rate(self) -> int:
        """Samples per second of audio in and out."""
        return self.converter.io_rate


def checkpoint_path(run: Path, which: str) -> Path:
    """Return runs/<run>/checkpoints/<which>.ckpt.

    Raises:
        ConfigError: if the run or the checkpoint is absent.
    """
    if not run.is_dir():
        raise ConfigError(f"run={run} is not a folder; train.py prints the run's folder when it ends")
    path = run / "checkpoints" / f"{which}.ckpt"
    if not path.is_file():
        found = sorted(item.stem for item in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
        raise ConfigError(f"{run} has no checkpoint {which!r}; found: {', '.join(found) or 'none'}")
    return path


def read_plain(path: Path, what: str, *, mmap: bool = False) -> Any:
    """Read plain data and tensors that torch.save wrote, without executing code from the file.

    Args:
        path: the file.
        what: word for it in messages.
        mmap: leave the tensors on disk until they are used; the checksums are not looked at then.
    Raises:
        FormatError: if the file is damaged or wants to run code.
    """
    try:
        if not mmap:
            with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
                broken = archive.testzip()
            if broken is not None:
                raise zipfile.BadZipFile(f"the checksum of {broken} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, OSError) as error:
        reason = str(error).partition("\n")[0] or "it ends too early"
        raise FormatError(f"{what} {path} cannot be read ({reason})") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing code from it and check that it is ours.

    Raises:
        FormatError: if the file is damaged, wants to run code or has another schema.
    """
    content = read_plain(path, "checkpoint")
    if not isinstance(content, dict) or PAYLOAD_KEY not in content:
        raise FormatError(f"checkpoint {path} was not written by this workbench (no {PAYLOAD_KEY!r} inside)")
    payload = content[PAYLOAD_KEY]
    version = payload.get("schema_version") if isinstance(payload, dict) else None
    if version != SCHEMA_VERSION:
        words = f"checkpoint {path} has schema {version}, this program reads {SCHEMA_VERSION}"
        raise FormatError(f"{words}; use a newer workbench")
    if "decisive" in payload:
        payload["decisive"] = with_current_targets(payload["decisive"])
    return content


def require_same_networks(
    content: dict[str, Any], path: Path, state: dict[str, Tensor], dataset: DatasetDescription
) -> None:
    """Check that networks with these tensors, and this dataset, can continue a checkpoint.

    Raises:
        ConfigError: if a tensor is missing, unexpected or of another shape, or encoder or speakers are others.
    """
    trained = trained_dataset(content)
    if trained.speaker_names != dataset.speaker_names:
        raise ConfigError(
            f"resume: {path} was trained on the speakers {trained.speaker_names}, the dataset has "
            f"{dataset.speaker_names}; start a new run with run.name=<new name>"
        )
    theirs = {key: tuple(value.shape) for key, value in content["state_dict"].items()}
    ours = {key: tuple(value.shape) for key, value in state.items()}
    different = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if different:
        raise ConfigError(
            f"resume: {path} holds other networks than this configuration makes ({len(different)} tensors differ, "
            f"first {different[0]}); give the model, discriminator and optim of its run, see config.yaml beside it"
        )
    before, now = trained.content.identity, dataset.content.identity
    if before != now:
        raise ConfigError(
            f"resume: {path} was trained on content features of {_named(before, now)}, the dataset has those of "
            f"{_named(now, before)}; prepare the dataset with that encoder or start a new run with run.name=<new name>"
        )


def load_voice(
    run: Path, which: Literal["best", "last"] = "best", io_rate: int | None = None, *, for_export: bool = True
) -> TrainedVoice:
    """Load a trained voice from its run folder.

    Args:
        run: a folder made by train.py.
        which: "best" by validation or "last".
        io_rate: rate of audio in and out, a multiple of 100; None means the model's own rate.
        for_export: refuse an encoder that cannot stand inside a graph; else it converts in PyTorch.
    Raises:
        ConfigError: if the run or checkpoint is absent or its encoder is refused.
        FormatError: if a file is damaged.
    """
    content = read_checkpoint(checkpoint_path(run, which))
    payload = content[PAYLOAD_KEY]
    config = from_yaml(payload["config"])
    dataset = trained_dataset(content)
    model = build_generator(Pluggable.of(config["model"], "model"), dataset)
    model.load_state_dict(voice_state(content["state_dict"]))
    encoder = Pluggable.of(dataset.content.config, "content").build()
    trained = dataset.content.identity
    if encoder.identity != trained:
        raise ConfigError(
            f"{run} was trained with content features of {_named(trained, encoder.identity)}, but the encoder here is "
            f"{_named(encoder.identity, trained)}; restore those weights or prepare and train again"
        )
    if for_export and not encoder.is_exportable:
        raise ConfigError(f"the content encoder {encoder.identity['id']} cannot stand inside an exported graph")
    tracker = _load_tracker(run, dataset.pitch)
    rate = io_rate or model.sample_rate
    resampler = RationalResampler(model.sample_rate, rate)
    converter = AudioConverter(model, AnalysisFrontend(encoder, tracker, rate), read_codebook(run), resampler)
    converter.requires_grad_(False)
    converter.eval()
    step = int(content["state_dict"]["steps_done"])
    metrics = dict(payload["metrics"])
    return TrainedVoice(model, converter, config, dataset, step, metrics, payload.get("pretrained"))


def _load_tracker(run: Path, feature: FeatureDescription) -> nn.Module:
    """Return the tracker of a voice's graph, from what the dataset says of its f0."""
    tracker: Any = Pluggable.of(feature.config, "pitch").build()
    if not tracker.is_exportable:
        name = tracker.identity["id"]
        log.warning("pitch tracker %s cannot stand inside a graph; the graph uses pitch=builtin", name)
        from utils.features.pitch.swift import builtin_tracker

        return builtin_tracker()
    trained = feature.identity
    if tracker.identity != trained:
        log.warning(
            "%s was trained on the pitch of %s, the tracker here is %s; what it finds differs a little",
            run, _named(trained, tracker.identity), _named(tracker.identity, trained),
        )  # fmt: skip
    module: nn.Module = tracker
    return module


def trained_dataset(content: dict[str, Any]) -> DatasetDescription:
    """Return the description of the dataset that a checkpoint was trained on."""
    return DatasetDescription.from_plain(content[PAYLOAD_KEY]["dataset"])


def build_generator(model: Pluggable, dataset: DatasetDescription) -> BaseVoiceConversionModel:
    """Instantiate the configured model for a dataset's content dimension and speakers."""
    generator: BaseVoiceConversionModel = model.build(
        content_dim=dataset.content_dim, num_speakers=len(dataset.speakers)
    )
    return generator


def voice_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Pick the averaged generator's tensors, or the plain one's when averaging was off."""
    prefix = "averaged." if any(key.startswith("averaged.") for key in state) else "generator."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _named(identity: dict[str, Any], other: dict[str, Any]) -> str:
    """Return the encoder's name and weights, and the settings in which it differs from another one of its kind."""
    settings = sorted((identity | other).keys() - {"id", "weights_sha256", "dim"})
    settings = settings if identity.get("id") == other.get("id") else []
    differing = [f"{key}={identity.get(key, 'default')}" for key in settings if identity.get(key) != other.get(key)]
    words = f"{identity.get('id')} {str(identity.get('weights_sha256', identity.get('version', '')))[:12]}"
    return words + (f" with {', '.join(differing)}" if differing else "")


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as half precision safetensors with text metadata."""
    halves = {key: value.half().contiguous() if value.is_floating_point() else value for key, value in tensors.items()}
    atomic_write_bytes(path, save(halves, metadata=metadata))
