"""What a run leaves behind and how a voice is read back from it."""

import logging
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from utils.audio.highpass import HighPass
from utils.audio.resample import RationalResampler
from utils.config import Pluggable, select
from utils.config.plain_data import first_line, shown
from utils.config.renamed import with_current_targets
from utils.config.stored_objects import StoredObject
from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError, FormatError
from utils.features.frontend import AnalysisFrontend, AudioFrontend
from utils.features.retrieval import CodebookRetrieval, entries_per_speaker
from utils.files import atomic_write_bytes
from utils.rvc.bounded_size import bounded_size
from utils.rvc.torch_files import load_plain
from utils.training.checkpoint_checks import (
    PAYLOAD_KEY,
    require_checkpoint,
    require_finite_weights,
    steps_done,
    stored_codebook,
    stored_config,
    stored_dataset,
)
from utils.training.codebook import read_codebook, require_sizes
from utils.training.stored_frontend import frontend_objects, named_identity, stored_frontend

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
        blend: share of each voice or speaker that it is a mean of, by name; None for a voice that is none.
    """

    model: BaseVoiceConversionModel
    converter: AudioConverter
    config: dict[str, Any]
    dataset: DatasetDescription
    step: int
    metrics: dict[str, float]
    pretrained: dict[str, dict[str, str]] | None = None
    imported: dict[str, Any] | None = None
    blend: dict[str, float] | None = None

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
        FormatError: if the file is damaged, readers could disagree about it, or it wants to run code.
    """
    try:
        return load_plain(path, mmap=mmap)
    except (zipfile.BadZipFile, OSError) as error:
        raise FormatError(f"{what} {path} cannot be read ({first_line(error)})") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing code from it and check that it is ours.

    Raises:
        FormatError: if the file is damaged, wants to run code or has another schema.
    """
    content: dict[str, Any] = read_plain(path, "checkpoint")
    require_checkpoint(content, path)
    payload = content[PAYLOAD_KEY]
    if "decisive" in payload:
        payload["decisive"] = with_current_targets(payload["decisive"])
    return content


def require_same_networks(
    content: dict[str, Any], path: Path, state: dict[str, Tensor], dataset: DatasetDescription
) -> None:
    """Check that networks with these tensors, and this dataset, can continue a checkpoint.

    Raises:
        ConfigError: if a tensor is missing, unexpected or of another shape, or encoder or speakers are others.
        FormatError: if what it says of its dataset is damaged.
    """
    trained = stored_dataset(content, path)
    if trained.speaker_names != dataset.speaker_names:
        raise ConfigError(
            f"resume: {path} was trained on the speakers {trained.speaker_names}, the dataset has "
            f"{dataset.speaker_names}; start a new run with run.name=<new name>"
        )
    theirs = {key: (tuple(value.shape), value.dtype) for key, value in content["state_dict"].items()}
    ours = {key: (tuple(value.shape), value.dtype) for key, value in state.items()}
    different = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if different:
        raise ConfigError(
            f"resume: {path} holds other networks than this configuration makes ({len(different)} tensors differ, "
            f"first {shown(different[0])}); give the model, discriminator and optim of its run, "
            "see config.yaml beside it"
        )
    before, now = trained.content.identity, dataset.content.identity
    if before != now:
        raise ConfigError(
            f"resume: {path} was trained on content features of {named_identity(before, now)}, the dataset has those "
            f"of {named_identity(now, before)}; prepare the dataset with that encoder or start a new run with "
            "run.name=<new name>"
        )


def load_voice(
    run: Path,
    which: Literal["best", "last", "previous"] = "best",
    io_rate: int | None = None,
    *,
    for_export: bool = True,
    trust: Collection[str] = (),
    with_codebook: bool = True,
) -> TrainedVoice:
    """Load a trained voice from its run folder, which may be a stranger's.

    Args:
        run: a folder made by train.py.
        which: "best" by validation, "last", or "previous", the one before.
        io_rate: rate of audio in and out, a multiple of 100; None means the model's own rate.
        for_export: refuse an encoder that cannot stand inside a graph; else it converts in PyTorch.
        trust: packages or classes that it may name besides those of this workbench.
        with_codebook: read its codebook, too.
    Raises:
        ConfigError: if the run or checkpoint is absent or its encoder is refused.
        FormatError: if a file is damaged, or names a class that is neither ours nor trusted.
    """
    path = checkpoint_path(run, which)
    return voice_of(run, path, io_rate, for_export=for_export, trust=trust, with_codebook=with_codebook)


def voice_of(
    run: Path,
    path: Path,
    io_rate: int | None = None,
    *,
    for_export: bool = True,
    trust: Collection[str] = (),
    with_codebook: bool = True,
    content: dict[str, Any] | None = None,
) -> TrainedVoice:
    """Load the voice of a checkpoint of a run, which lies anywhere; all else as load_voice.

    Where its content was read already, and perhaps changed, that is taken.
    """
    content = read_checkpoint(path) if content is None else content
    config, dataset = stored_config(content, path, trust), stored_dataset(content, path)
    model = stored_generator(content, path, trust)
    rate = io_rate or model.sample_rate
    frontend: AnalysisFrontend | AudioFrontend
    if model.reads_audio:
        frontend_objects(dataset, path, trust)  # a foreign class is refused where nothing builds it, too
        frontend = AudioFrontend(rate, model.sample_rate)
    else:
        frontend = stored_frontend(dataset, path, str(run), rate, for_export=for_export, trust=trust)
    converter = AudioConverter(
        model,
        frontend,
        _read_retrieval(run, path, content, config, dataset) if with_codebook and not model.reads_audio else None,
        RationalResampler(model.sample_rate, rate),
        highpass=HighPass(dataset.highpass_hz, rate) if dataset.highpass_hz else None,
    )
    converter.requires_grad_(False)
    converter.eval()
    payload = content[PAYLOAD_KEY]
    metrics = dict(payload["metrics"])
    return TrainedVoice(model, converter, config, dataset, steps_done(content), metrics, payload.get("pretrained"))


def stored_generator(content: dict[str, Any], path: Path, trust: Collection[str] = ()) -> BaseVoiceConversionModel:
    """Build the generator that a checkpoint names, with its averaged weights.

    Args:
        content: of the checkpoint.
        path: of the checkpoint, for messages.
        trust: see load_voice.
    Raises:
        FormatError: if it names a class that is neither ours nor trusted, or its weights do not fit it.
        ConfigError: if the class refuses an argument.
    """
    config, dataset = stored_config(content, path, trust), stored_dataset(content, path)
    node = StoredObject.of(config["model"], "model", str(path), trust)
    state = voice_state(content["state_dict"])
    require_finite_weights(state, path)
    with bounded_size(sum(value.numel() for value in state.values()), str(path)):
        model: BaseVoiceConversionModel = node.build(
            BaseVoiceConversionModel, content_dim=dataset.content_dim, num_speakers=len(dataset.speakers)
        )
    ours = model.state_dict()
    rounded = [
        name for name in sorted(ours.keys() & state.keys()) if _is_real(ours[name]) and not _is_real(state[name])
    ]
    if rounded:  # they would be converted without a word
        raise FormatError(f"checkpoint {path} holds {rounded[0]} as {state[rounded[0]].dtype}; get the file again")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise FormatError(
            f"checkpoint {path} holds other weights than its model has ({' '.join(str(error).split())[:200]})"
        ) from error
    return model


def _is_real(value: Tensor) -> bool:
    return value.is_floating_point() and value.layout == torch.strided


def _read_retrieval(
    run: Path, path: Path, content: dict[str, Any], config: dict[str, Any], dataset: DatasetDescription
) -> CodebookRetrieval | None:
    """Read the codebook that belongs to a checkpoint; older ones do not say which, but speakers and sizes must fit."""
    expected = stored_codebook(content, path)
    retrieval = read_codebook(run, expected, str(path))
    if retrieval is None:
        return None
    size = select(config, "retrieval.codebook_size")
    most = entries_per_speaker(size if type(size) is int else None, len(dataset.speakers))
    require_sizes(
        retrieval.codebook, run, str(path), num_speakers=len(dataset.speakers), dim=dataset.content_dim,
        most=most if most and expected is None else None,
    )  # fmt: skip
    return retrieval


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


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as half precision safetensors with text metadata."""
    halves = {key: value.half().contiguous() if value.is_floating_point() else value for key, value in tensors.items()}
    atomic_write_bytes(path, save(halves, metadata=metadata))
