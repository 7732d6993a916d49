"""What a foreign file is: a shared voice, or a generator or discriminator to train on from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from utils.errors import FormatError
from utils.rvc.archive import read_archive
from utils.rvc.encoders import CONTENTVEC, encoder_name
from utils.rvc.layout import CONTENT_LAYERS, Layout, Published, layout_of, legacy_name, shapes_of
from utils.rvc.matching import require_floats
from utils.rvc.quoting import quoted, said_text, shown_name
from utils.rvc.safetensors_voice import SUFFIX, read_safetensors_voice
from utils.rvc.sovits import SAMPLE_RATE as SOVITS_RATE
from utils.rvc.sovits import Bins, read_config
from utils.rvc.vits import SAMPLE_RATE as VITS_RATE
from utils.rvc.vits import read_vits_speakers, without_text
from utils.rvc.vocoders import DECODERS, known_vocoder

F0Convention = Literal["zero_unvoiced", "interpolated"]
Program = Literal["rvc_webui", "applio", "rvc_next", "sovits", "vits", "voclo_trainer", "unknown"]
F0_CONVENTIONS: tuple[F0Convention, ...] = ("zero_unvoiced", "interpolated")
OWN_KEY = "voclo_trainer"  # what only this workbench records; the other programs ignore it
# keys that one program alone writes; creation_date and embedder_model are none of them
PROGRAM_KEYS: dict[Program, frozenset[str]] = {
    "applio": frozenset({"vocoder", "model_hash", "speakers_id"}),
    "rvc_next": frozenset({"f0_median"}),
}
PROGRAM_NAMES = {
    "rvc_webui": "RVC-WebUI", "applio": "Applio", "rvc_next": "rvc-next", "sovits": "So-VITS-SVC",
    "vits": "VITS",    "voclo_trainer": "this workbench",
}  # fmt: skip
# what their training puts into unvoiced frames; RVC-WebUI fills the gaps since July 2026, and no file of it says so
PROGRAM_CONVENTIONS: dict[Program, F0Convention] = {"applio": "zero_unvoiced", "rvc_next": "interpolated"}
NUM_CONFIG_VALUES = 18
# fields that are one number or one text each; everything else under them was made to confuse its reader
PLAIN_FIELDS = (
    "info", "sr", "vocoder", "version", "f0", "epoch", "step", "iteration", "speakers_id", "embedder_model",
    "embedder_name", "f0_convention", "embedder",
)  # fmt: skip
# fields that are only shown to people
SAID = {
    "model_name": "name", "author": "creator", "creation_date": "created", "dataset_length": "dataset_length",
    "model_hash": "hash", "info": "info",
}  # fmt: skip
# places of the config list that say what a version and rate have
BINS_AT, FACTORS_AT, KERNELS_AT = 0, 12, 14
LISTS_AT, NESTED_LISTS_AT = (10, FACTORS_AT, KERNELS_AT), (11,)
MAX_COUNT, MAX_RATE, MAX_LAYER = 10**15, 10**6, 1000
MAX_NAME = 200  # characters of a speaker or encoder


@dataclass(frozen=True, kw_only=True)
class ForeignFile:
    """A file of RVC-WebUI, Applio or their kin, checked but not yet matched with a network.

    Attributes:
        kind: "voice" is what people share, half precision without posterior; "training" is what training starts from.
        program: the program that wrote it, as far as it can be told.
        weights: under the names of files, in the precision of the file.
        sample_rate: of the audio; None where the file does not say it and more than one fits.
        f0_convention: what unvoiced frames held in training; None where the file does not say it.
        embedder: name of the content encoder; None where the file does not say it.
        trained_speakers: rows of the speaker table that were trained, 0 where the file does not say it.
        epoch: epochs trained, 0 where it is not known.
        step: updates trained, 0 where it is not known.
        speakers: names of the rows of the speaker table; empty where the file does not say them.
        bins: version of So-VITS-SVC whose bins of pitch a voice of it has; None for other programs, and where
            nobody says it.
        said: what it says for people: name, creator, created, dataset_length, hash, info.
        own: what this workbench recorded, empty for files of others.
    """

    path: Path
    kind: Literal["voice", "training"]
    program: Program
    weights: dict[str, Tensor]
    layout: Layout
    sample_rate: int | None
    f0_convention: F0Convention | None = None
    embedder: str | None = None
    trained_speakers: int = 0
    epoch: int = 0
    step: int = 0
    speakers: tuple[str, ...] = ()
    bins: Bins | None = None
    said: dict[str, str] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def content_layer(self) -> int | None:
        """Layer of the content encoder: as this workbench recorded it, else that of the version; None if unknown."""
        recorded = self.encoder.get("layer")
        known = type(recorded) is int and 0 < recorded < MAX_LAYER
        return recorded if known else CONTENT_LAYERS.get(self.layout.version or "")

    @property
    def encoder(self) -> dict[str, Any]:
        """What this workbench recorded of the content encoder; empty for files of others."""
        encoder = self.own.get("encoder")
        return encoder if isinstance(encoder, dict) else {}

    def __str__(self) -> str:
        rate = f" at {self.sample_rate} Hz" if self.sample_rate else ""
        program = PROGRAM_NAMES.get(self.program)
        what = "shared voice" if self.kind == "voice" else "training file"
        return f"{self.path.name}: {what}{f' of {program}' if program else ''}, {self.layout}{rate}"


def known_convention(value: object) -> F0Convention | None:
    """Return a convention by its name, None if it is none."""
    return next((known for known in F0_CONVENTIONS if known == value), None)


def read_foreign(path: Path, *, must_be_finite: bool = True) -> ForeignFile:
    """Read a shared voice, a pretrained network or a training checkpoint.

    Args:
        path: of the file.
        must_be_finite: refuse weights with NaN or infinity.
    Raises:
        FormatError: one line with the reason, if the file is unsafe, not whole, of another kind or contradicts itself.
    """
    content = read_safetensors_voice(path) if path.suffix.lower() == SUFFIX else read_archive(path)
    _require_plain(path, content)
    if "weight" in content:
        return _voice(path, content, must_be_finite)
    if "model" in content:
        return _training(path, content, must_be_finite)
    found = ", ".join(sorted(shown_name(key) for key in content)[:5]) or "nothing"
    remedy = "; give its run with run=<folder>" if OWN_KEY in content else ""
    raise FormatError(f"{path} is no RVC file: it has neither 'weight' nor 'model', but {found}{remedy}")


def _training(path: Path, content: dict[str, Any], must_be_finite: bool) -> ForeignFile:
    weights = _weights(path, content["model"], "model", must_be_finite)
    layout = _layout(path, weights)
    if layout.sovits is not None or layout.vits is not None:
        return _with_config(path, content, weights, layout)
    rates = {item.sample_rate for item in layout.fits}
    own = _own(path, content)
    embedder = _text(path, own, "embedder")
    return ForeignFile(
        path=path,
        kind="training",
        program="voclo_trainer" if own else "unknown",
        weights=weights,
        layout=layout,
        sample_rate=rates.pop() if len(rates) == 1 else None,
        f0_convention=_convention(path, own),
        embedder=encoder_name(embedder) if embedder else None,
        epoch=_whole(content.get("iteration")),
        step=_whole(own.get("step")),
        own=own,
    )


def _with_config(path: Path, content: dict[str, Any], weights: dict[str, Tensor], layout: Layout) -> ForeignFile:
    """Return what a network of So-VITS-SVC or VITS is, with the config.json beside it, if there is one."""
    file = ForeignFile(
        path=path, kind="training", program="vits", weights=weights, layout=layout, sample_rate=None,
        epoch=_whole(content.get("iteration")),
    )  # fmt: skip
    if layout.vits is not None:
        speakers = read_vits_speakers(path, shapes_of(weights))
        rate = VITS_RATE if speakers is not None else None
        return replace(file, weights=without_text(weights), sample_rate=rate, speakers=speakers or ())
    config = read_config(path, shapes_of(weights))
    # its network fills the gaps of the pitch itself
    file = replace(file, program="sovits", sample_rate=SOVITS_RATE, f0_convention="zero_unvoiced")
    return replace(file, **vars(config)) if config else file


def _voice(path: Path, content: dict[str, Any], must_be_finite: bool) -> ForeignFile:
    vocoder = known_vocoder(content.get("vocoder"))
    if vocoder is None:
        raise FormatError(f"{path} has the vocoder {quoted(content['vocoder'])}; {', '.join(DECODERS)} are read")
    weights = _weights(path, content["weight"], "weight", must_be_finite)
    layout = _layout(path, weights)
    if layout.role != "generator":
        raise FormatError(f"{path} holds a {layout} under 'weight'; a voice has a generator there")
    rate = _rate_of_config(path, content)
    _require_said(path, layout, content, rate)
    if "vocoder" in content and vocoder != layout.vocoder:
        raise FormatError(f"{path} says vocoder {vocoder}, but its decoder is that of {layout.vocoder}")
    own = _own(path, content)
    program: Program = next((name for name, keys in PROGRAM_KEYS.items() if keys & content.keys()), "rvc_webui")
    is_applio = program == "applio"
    # RVC-WebUI has one encoder, ContentVec under the name hubert_base, and rvc-next names all others
    embedder = (
        _text(path, own, "embedder") or _text(path, content, "embedder_model") or _text(path, content, "embedder_name")
    )
    convention = _convention(path, own)
    return ForeignFile(
        path=path,
        kind="voice",
        program="voclo_trainer" if own else program,
        weights=weights,
        layout=layout,
        sample_rate=rate,
        f0_convention=convention or (None if own else PROGRAM_CONVENTIONS.get(program)),
        embedder=encoder_name(embedder) if embedder else None if is_applio else CONTENTVEC,
        trained_speakers=_whole(content.get("speakers_id")),
        epoch=_whole(content.get("epoch")) or _digits(content.get("info")),
        step=_whole(content.get("step")),
        speakers=_speakers(path, own) or speaker_names(path, content.get("speaker_info"), layout.num_speakers),
        said={SAID[key]: value for key in SAID if (value := said_text(content.get(key)))},
        own=own,
    )


def _weights(path: Path, value: Any, key: str, must_be_finite: bool) -> dict[str, Tensor]:
    if not isinstance(value, Mapping) or not value:
        raise FormatError(f"{path}: {key!r} is no table of weights; it is no RVC file")
    weights: dict[str, Tensor] = {}
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise FormatError(f"{path}: {key!r} holds {shown_name(name)}, which is no tensor; it is no RVC file")
        plain = legacy_name(name.removeprefix("module."))  # a prefix of training on several devices
        if plain in weights:
            raise FormatError(f"{path}: {shown_name(plain)} is there twice; it is no RVC file")
        weights[plain] = tensor.detach()
    require_floats(weights, str(path), must_be_finite=must_be_finite)
    return weights


def _layout(path: Path, weights: dict[str, Tensor]) -> Layout:
    try:
        return layout_of(shapes_of(weights))
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def _require_plain(path: Path, fields: Mapping[str, Any]) -> None:
    """Refuse what is no single number or text where one belongs, before anything compares or prints it."""
    for key in PLAIN_FIELDS:
        value = fields.get(key)
        if value is not None and not isinstance(value, str | int | float):
            raise FormatError(f"{path}: {key!r} should be a number or a text, found {quoted(value)}; it is no RVC file")


def _own(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return what this workbench recorded, empty in a file of others."""
    own = content.get(OWN_KEY)
    if not isinstance(own, dict):
        return {}
    _require_plain(path, own)
    return own


def _require_config_kinds(path: Path, values: Sequence[Any]) -> None:
    for index, value in enumerate(values):
        nested = value if index in NESTED_LISTS_AT else [value] if index in LISTS_AT else None
        if nested is None:
            good, needed = isinstance(value, str | int | float), "a number or a text"
        else:
            good = isinstance(nested, list | tuple) and all(map(_is_whole_list, nested))
            needed = "lists of whole numbers" if index in NESTED_LISTS_AT else "a list of whole numbers"
        if not good:
            raise FormatError(f"{path}: value {index} of its 'config' should be {needed}, found {quoted(value)}")


def _is_whole_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(item) is int for item in value)


def _rate_of_config(path: Path, content: dict[str, Any]) -> int:
    values = content.get("config")
    if not isinstance(values, list | tuple) or len(values) != NUM_CONFIG_VALUES:
        found = f"{len(values)} values" if isinstance(values, list | tuple) else "none"
        raise FormatError(f"{path}: its 'config' should be a list of {NUM_CONFIG_VALUES} values, found {found}")
    _require_config_kinds(path, values)
    rate = _rate(values[-1])
    if rate is None:
        raise FormatError(f"{path}: its 'config' ends with {quoted(values[-1])} instead of a sample rate")
    said = _rate(content.get("sr"))
    if said is not None and said != rate:
        raise FormatError(f"{path} contradicts itself: sr says {said} Hz, its 'config' {rate} Hz")
    return rate


def _require_said(path: Path, layout: Layout, content: dict[str, Any], rate: int) -> None:
    """Check that version, rate, f0 and the settings of the decoder are those of the weights."""
    version = content.get("version", "v1")  # the first files had no field for it
    if layout.version is not None and version != layout.version:
        raise FormatError(
            f"{path} says version {version if version in CONTENT_LAYERS else quoted(version)}, but its content input "
            f"has {layout.content_dim} values ({layout.version})"
        )
    published = next((item for item in layout.fits if item.sample_rate == rate), None)
    if layout.fits and published is None:
        raise FormatError(f"{path} says {rate} Hz, but its decoder is that of {layout.fits[0].sample_rate} Hz")
    if published is not None:
        _require_settings(path, content["config"], published)
    has_f0 = content.get("f0", 1) in (1, True, "1", "true", "True")
    if has_f0 != layout.has_f0:
        raise FormatError(f"{path} says {'with' if has_f0 else 'without'} f0, but its weights are of the other kind")


def _require_settings(path: Path, values: Sequence[Any], published: Published) -> None:
    """Check the config list against the published one: weights without f0 fit more than one rate."""
    for index, what, wanted in (
        (FACTORS_AT, "upsample factors", list(published.upsample_rates)),
        (KERNELS_AT, "upsample kernels", list(published.upsample_kernels)),
        (BINS_AT, "spectrogram bins", published.num_bins),
    ):
        found = list(values[index]) if isinstance(values[index], list | tuple) else values[index]
        if found != wanted:
            shown = f"[{', '.join(map(quoted, found[:8]))}]" if isinstance(found, list) else quoted(found)
            raise FormatError(
                f"{path} contradicts itself: its 'config' ends with {published.sample_rate} Hz and has the {what} "
                f"{shown}; RVC {published.name} has {wanted}"
            )


def _rate(value: Any) -> int | None:
    """Read 40000, 40000.0, "40000" or "40k"."""
    if isinstance(value, bool) or value is None:
        return None
    text = str(value).lower() if isinstance(value, str) else f"{value:.0f}" if abs(value) < MAX_RATE else ""
    digits = text.removesuffix("k")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_RATE))):
        return None
    return int(digits) * (1000 if text.endswith("k") else 1)


def _convention(path: Path, own: dict[str, Any]) -> F0Convention | None:
    value = own.get("f0_convention")
    if value is None or known_convention(value):
        return known_convention(value)
    raise FormatError(f"{path} has the f0 convention {quoted(value)}; this program knows {', '.join(F0_CONVENTIONS)}")


def _text(path: Path, fields: Mapping[str, Any], key: str) -> str | None:
    """Return the name under a key, None where there is none."""
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        return None
    return _require_name(path, value, key)


def _speakers(path: Path, own: dict[str, Any]) -> tuple[str, ...]:
    names = own.get("speakers")
    return tuple(_require_name(path, name, "speakers") for name in names) if isinstance(names, list) else ()


def speaker_names(path: Path, info: Any, count: int) -> tuple[str, ...]:
    """Return the names of the rows of a speaker table that the field speaker_info gives: numbers with their names.

    Programs of w-okada's kind write {number: name}, rvc-next writes [{"id": number, "name": name}]. Rows without a name
    are called by their number; other programs write the names of the first rows alone.
    """
    if isinstance(info, list | tuple):
        entries = [
            (item["id"], item["name"]) for item in info if isinstance(item, Mapping) and {"id", "name"} <= item.keys()
        ]
    else:
        entries = list(info.items()) if isinstance(info, Mapping) else []
    names = {}
    for number, name in entries:
        row = number if type(number) is int else int(number) if isinstance(number, str) and number.isdecimal() else -1
        if 0 <= row < count:
            names[row] = _require_name(path, name, "speaker_info")
    return tuple(names.get(row, f"row {row}") for row in range(max(names, default=-1) + 1))


def _require_name(path: Path, value: Any, key: str) -> str:
    if isinstance(value, str) and len(value) <= MAX_NAME and value.isprintable():
        return value
    raise FormatError(f"{path}: {key!r} should be a name of one line, found {quoted(value)}; it is no RVC file")


def _digits(info: Any) -> int:
    """Read 300 out of "300epoch"."""
    return _whole("".join(filter(str.isdecimal, info[:99])) if isinstance(info, str) else info)


def _whole(value: Any) -> int:
    """Return a count, 0 where it is none."""
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
    return count if 0 < count < MAX_COUNT else 0
