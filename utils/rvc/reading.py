"""What a foreign file is: a shared voice, or a generator or discriminator to train on from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from utils.errors import FormatError
from utils.rvc.archive import read_archive
from utils.rvc.layout import CONTENT_LAYERS, SPEAKER_TABLE, Layout, layout_of, legacy_name, shapes_of
from utils.rvc.matching import require_finite

F0Convention = Literal["zero_unvoiced", "interpolated"]
F0_CONVENTIONS: tuple[F0Convention, ...] = ("zero_unvoiced", "interpolated")
OWN_KEY = "voclo_trainer"  # what only this workbench records; the other programs ignore it
APPLIO_KEYS = frozenset({"embedder_model", "vocoder", "model_hash", "speakers_id", "creation_date"})
NUM_CONFIG_VALUES = 18
CONTENTVEC_NAMES = frozenset({"hubert_base", "hubert-base", "content-vec", "contentvec"})
DEFAULT_VOCODERS = (None, "", "HiFi-GAN", "Default")


@dataclass(frozen=True, kw_only=True)
class ForeignFile:
    """A file of RVC-WebUI, Applio or their kin, checked but not yet matched with a network.

    Attributes:
        kind: "voice" is what people share, half precision without posterior; "training" is what training starts from.
        dialect: the program that wrote it, as far as it can be told.
        weights: under the names of files, in the precision of the file.
        sample_rate: of the audio; None where the file does not say it and more than one fits.
        f0_convention: what unvoiced frames held in training; None where the file does not say it.
        embedder: name of the content encoder; None where the file does not say it.
        trained_speakers: rows of the speaker table that were trained, 0 where the file does not say it.
        epoch: epochs trained, 0 where it is not known.
        step: updates trained, 0 where it is not known.
        speakers: names of the rows of the speaker table; empty where the file does not say them.
        own: what this workbench recorded, empty for files of others.
    """

    path: Path
    kind: Literal["voice", "training"]
    dialect: Literal["rvc_webui", "applio", "voclo_trainer", "unknown"]
    weights: dict[str, Tensor]
    layout: Layout
    sample_rate: int | None
    f0_convention: F0Convention | None = None
    embedder: str | None = None
    trained_speakers: int = 0
    epoch: int = 0
    step: int = 0
    speakers: tuple[str, ...] = ()
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def content_layer(self) -> int | None:
        """Layer of the content encoder: as this workbench recorded it, else that of the version; None if unknown."""
        encoder = self.own.get("encoder")
        recorded = encoder.get("layer") if isinstance(encoder, dict) else None
        return recorded if isinstance(recorded, int) else CONTENT_LAYERS.get(self.layout.version or "")

    def __str__(self) -> str:
        rate = f" at {self.sample_rate} Hz" if self.sample_rate else ""
        program = {"rvc_webui": "RVC-WebUI", "applio": "Applio", "voclo_trainer": "this workbench"}.get(self.dialect)
        what = "shared voice" if self.kind == "voice" else "training file"
        return f"{self.path.name}: {what}{f' of {program}' if program else ''}, {self.layout}{rate}"


def read_foreign(path: Path) -> ForeignFile:
    """Read a shared voice, a pretrained network or a training checkpoint.

    Raises:
        FormatError: one line with the reason, if the file is unsafe, not whole, of another kind or contradicts itself.
    """
    content = read_archive(path)
    if "weight" in content:
        return _voice(path, content)
    if "model" in content:
        return _training(path, content)
    found = ", ".join(sorted(str(key) for key in content)[:5]) or "nothing"
    remedy = "; give its run with run=<folder>" if OWN_KEY in content else ""
    raise FormatError(f"{path} is no RVC file: it has neither 'weight' nor 'model', but {found}{remedy}")


def _training(path: Path, content: dict[str, Any]) -> ForeignFile:
    weights = _weights(path, content["model"], "model")
    layout = _layout(path, weights)
    rates = {item.sample_rate for item in layout.fits}
    own = content[OWN_KEY] if isinstance(content.get(OWN_KEY), dict) else {}
    return ForeignFile(
        path=path,
        kind="training",
        dialect="voclo_trainer" if own else "unknown",
        weights=weights,
        layout=layout,
        sample_rate=rates.pop() if len(rates) == 1 else None,
        f0_convention=_convention(path, own),
        embedder=_text(own.get("embedder")),
        epoch=_whole(content.get("iteration")),
        step=_whole(own.get("step")),
        own=own,
    )


def _voice(path: Path, content: dict[str, Any]) -> ForeignFile:
    if content.get("vocoder") not in DEFAULT_VOCODERS:
        raise FormatError(f"{path} has the vocoder {content['vocoder']!r}; voices of RVC's HiFi-GAN alone are read")
    weights = _weights(path, content["weight"], "weight")
    layout = _layout(path, weights)
    if layout.role != "generator":
        raise FormatError(f"{path} holds a {layout} under 'weight'; a voice has a generator there")
    rate = _rate_of_config(path, content)
    _require_said(path, layout, content, rate)
    own = content[OWN_KEY] if isinstance(content.get(OWN_KEY), dict) else {}
    is_applio = bool(APPLIO_KEYS & content.keys())
    # RVC-WebUI has one encoder, ContentVec under the name hubert_base, and no field for it
    embedder = _text(own.get("embedder")) or _text(content.get("embedder_model") or content.get("embedder_name"))
    convention = _convention(path, own)
    names = own.get("speakers")
    return ForeignFile(
        path=path,
        kind="voice",
        dialect="voclo_trainer" if own else "applio" if is_applio else "rvc_webui",
        weights=weights,
        layout=layout,
        sample_rate=rate,
        # Applio has always kept zeros; RVC-WebUI fills the gaps since July 2026 and does not say so
        f0_convention=convention or ("zero_unvoiced" if is_applio else None),
        embedder=_encoder_name(embedder) if embedder else None if is_applio else "contentvec",
        trained_speakers=_whole(content.get("speakers_id")),
        epoch=_whole(content.get("epoch")) or _whole("".join(filter(str.isdigit, str(content.get("info", ""))))),
        step=_whole(content.get("step")),
        speakers=tuple(str(name) for name in names) if isinstance(names, list) else (),
        own=own,
    )


def _weights(path: Path, value: Any, key: str) -> dict[str, Tensor]:
    if not isinstance(value, Mapping) or not value:
        raise FormatError(f"{path}: {key!r} is no table of weights; it is no RVC file")
    weights: dict[str, Tensor] = {}
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise FormatError(f"{path}: {key!r} holds {name!r}, which is no tensor; it is no RVC file")
        plain = legacy_name(name.removeprefix("module."))  # a prefix of training on several devices
        if plain in weights:
            raise FormatError(f"{path}: {plain} is there twice; it is no RVC file")
        weights[plain] = tensor.detach()
    require_finite(weights, str(path))
    return weights


def _layout(path: Path, weights: dict[str, Tensor]) -> Layout:
    try:
        return layout_of(shapes_of(weights))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _rate_of_config(path: Path, content: dict[str, Any]) -> int:
    values = content.get("config")
    if not isinstance(values, list | tuple) or len(values) != NUM_CONFIG_VALUES:
        found = f"{len(values)} values" if isinstance(values, list | tuple) else "none"
        raise FormatError(f"{path}: its 'config' should be a list of {NUM_CONFIG_VALUES} values, found {found}")
    rate = _rate(values[-1])
    if rate is None:
        raise FormatError(f"{path}: its 'config' ends with {values[-1]!r} instead of a sample rate")
    said = _rate(content.get("sr"))
    if said is not None and said != rate:
        raise FormatError(f"{path} contradicts itself: sr says {said} Hz, its 'config' {rate} Hz")
    return rate


def _require_said(path: Path, layout: Layout, content: dict[str, Any], rate: int) -> None:
    """Check that version, rate and f0 are those of the weights."""
    version = content.get("version", "v1")  # the first files had no field for it
    if layout.version is not None and version != layout.version:
        raise FormatError(
            f"{path} says version {version}, but its content input has {layout.content_dim} values ({layout.version})"
        )
    if layout.fits and rate not in {item.sample_rate for item in layout.fits}:
        raise FormatError(f"{path} says {rate} Hz, but its decoder is that of {layout.fits[0].sample_rate} Hz")
    has_f0 = content.get("f0", 1) in (1, True, "1", "true", "True")
    if has_f0 != layout.has_f0:
        raise FormatError(f"{path} says {'with' if has_f0 else 'without'} f0, but its weights are of the other kind")
    if SPEAKER_TABLE not in content["weight"]:
        raise FormatError(f"{path}: {SPEAKER_TABLE} is missing")


def _rate(value: Any) -> int | None:
    """Read 40000, "40000" or "40k"."""
    text = str(value).lower()
    digits = text.removesuffix("k")
    if isinstance(value, bool) or not digits.isdigit():
        return None
    return int(digits) * (1000 if text.endswith("k") else 1)


def _encoder_name(name: str) -> str:
    return "contentvec" if name.lower() in CONTENTVEC_NAMES else name


def _convention(path: Path, own: dict[str, Any]) -> F0Convention | None:
    value = own.get("f0_convention")
    if value is None:
        return None
    for known in F0_CONVENTIONS:
        if value == known:
            return known
    raise FormatError(f"{path} has the f0 convention {value!r}; this program knows {', '.join(F0_CONVENTIONS)}")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int:
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0
