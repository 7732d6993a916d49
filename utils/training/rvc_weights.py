"""Training that begins with the weights of an RVC file."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError
from utils.rvc.encoders import content_overrides, encoder_name
from utils.rvc.layout import POSTERIOR, SPEAKER_TABLE, Layout, is_rvc, layout_of, shapes_of
from utils.rvc.matching import compare, fill, network_weights, take_speakers
from utils.rvc.reading import ForeignFile, read_foreign
from utils.rvc.sovits import is_sovits
from utils.rvc.vits import is_vits

Speakers = str | Sequence[int] | None


def load_rvc_weights(
    network: nn.Module,
    path: Path,
    name: str,
    dataset: DatasetDescription,
    *,
    speakers: Speakers = None,
    fresh_posterior: bool = False,
) -> str:
    """Fill a generator or discriminator from a .pth of RVC-WebUI or Applio; nothing is changed unless all of it fits.

    Args:
        network: to fill in place.
        path: a pretrained network, a training checkpoint or, with `fresh_posterior`, a shared voice.
        name: configuration key for messages, e.g. "pretrained.generator".
        dataset: the training data.
        speakers: rows of the file's speaker table that the voices begin with; "mean" for the mean of all rows; None for
            the first rows.
        fresh_posterior: begin with the network's own random posterior where the file has none.
    Returns:
        One line that says what was taken.
    Raises:
        FormatError: if the file is not safe or not whole.
        ConfigError: if it does not fit the network or the dataset.
    """
    ours = network_weights(network)
    if not (is_rvc(ours) or is_sovits(ours) or is_vits(ours)):
        kind = type(network).__name__
        raise ConfigError(f"{name}={path} is a file for RVC, the network here is {kind}; type experiment=rvc_<..>")
    file = read_foreign(path)
    wanted = layout_of(shapes_of(ours))
    what = f"{name}={path}"
    _require_same_kind(file.layout, wanted, what)
    _require_same_features(file, dataset, what)
    theirs, notes = dict(file.weights), []
    posterior: dict[str, Tensor] = {}
    if SPEAKER_TABLE in ours:
        theirs, note = _fit_speakers(theirs, ours[SPEAKER_TABLE], speakers, len(dataset.speakers))
        notes.append(note)
        if not file.layout.has_posterior:
            posterior = _own_posterior(ours, what, allowed=fresh_posterior)
            notes.append(f"{len(posterior)} enc_q parameters are not in the file and begin random")
        notes += _feature_notes(file, dataset)
    match = compare(shapes_of(theirs), shapes_of({key: ours[key] for key in ours if key not in posterior}))
    if not match.is_complete:
        raise ConfigError(f"{what} does not fit this model: {match.summary()}; choose the model it was made for")
    fill(network, {**theirs, **posterior})
    return f"{name}: {match.summary()}; from {file}" + "".join(f"; {note}" for note in notes)


def _require_same_kind(theirs: Layout, ours: Layout, what: str) -> None:
    if theirs.role != ours.role:
        raise ConfigError(f"{what} is a {theirs}, a {ours.role} is needed; give it as pretrained.{theirs.role}")
    other_rate = bool(theirs.fits and ours.fits) and not set(theirs.fits) & set(ours.fits)
    is_other = (theirs.version, theirs.vocoder, theirs.has_f0) != (ours.version, ours.vocoder, ours.has_f0)
    other_program = (theirs.sovits is None, theirs.vits is None) != (ours.sovits is None, ours.vits is None)
    if is_other or other_rate or other_program:
        raise ConfigError(f"{what} is a {theirs}, this model is a {ours}; choose the other file or experiment")


def _require_same_features(file: ForeignFile, dataset: DatasetDescription, what: str) -> None:
    """Check encoder and layer of a generator's content, where the file names the encoder: published networks do not."""
    if file.layout.role != "generator" or file.layout.vits is not None:
        return
    identity = dataset.content.identity
    have, layer = encoder_name(str(identity.get("id"))), file.content_layer
    remedy = f"prepare the dataset with {content_overrides(file.embedder, file.layout.version, layer)}"
    if file.embedder is not None and file.embedder != have:
        raise ConfigError(
            f"{what} was trained on content features of {file.embedder}, the dataset has those of {have}; {remedy}"
        )
    if identity.get("layer", layer) != layer:
        raise ConfigError(
            f"{what} is RVC {file.layout.version}, which reads layer {layer} of its encoder, the dataset has "
            f"layer {identity['layer']}; {remedy}"
        )


def _feature_notes(file: ForeignFile, dataset: DatasetDescription) -> list[str]:
    """Say on which features the voice is trained, where the file was trained on others or does not say."""
    notes: list[str] = []
    if file.layout.vits is not None:
        return notes
    if file.embedder is None:
        have = dataset.content.identity.get("id")
        notes.append(f"the file does not say its content encoder; the dataset's {have} is used")
    unvoiced = dataset.f0_convention
    if file.layout.has_f0 and file.f0_convention is None:
        notes.append(f"the file does not say what its f0 held in unvoiced frames; the dataset's {unvoiced} is used")
    elif file.layout.has_f0 and file.f0_convention != unvoiced:
        group = "interpolated" if file.f0_convention == "interpolated" else "builtin"
        notes.append(
            f"its f0 in unvoiced frames was {file.f0_convention}, that of the dataset is {unvoiced}; the voice learns "
            f"the dataset's, or prepare it with pitch={group}"
        )
    return notes


def _fit_speakers(
    theirs: dict[str, Tensor], table: Tensor, wanted: Speakers, num_voices: int
) -> tuple[dict[str, Tensor], str]:
    """Make a speaker table of our size out of the file's, and say how."""
    rows, count = len(theirs[SPEAKER_TABLE]), len(table)
    is_list = isinstance(wanted, Sequence) and not isinstance(wanted, str) and all(type(row) is int for row in wanted)
    if not (wanted is None or wanted == "mean" or is_list):
        raise ConfigError(f"pretrained.speakers={wanted} must be a list of row numbers such as [0,5], mean, or null")
    if wanted == "mean":
        mean = theirs[SPEAKER_TABLE].float().mean(dim=0, keepdim=True).expand(count, -1)
        return {**theirs, SPEAKER_TABLE: mean}, f"{count} speaker(s) begin at the mean of the file's {rows}"
    if wanted is None and count > rows:
        raise ConfigError(
            f"the dataset has {num_voices} speakers, the file's table {rows} rows; type pretrained.speakers=mean or "
            f"give a row for each, such as [{','.join(['0'] * min(count, 3))}]"
        )
    chosen: list[int] = list(range(count)) if wanted is None else [row for row in wanted if isinstance(row, int)]
    if len(chosen) != count:
        raise ConfigError(f"pretrained.speakers={chosen} must name one row for each of the {count} speaker(s)")
    note = f"speaker table of {count} row(s): {_span(chosen)} of the file's {rows}"
    return take_speakers(theirs, chosen, "pretrained.speakers"), note


def _own_posterior(ours: dict[str, Tensor], what: str, *, allowed: bool) -> dict[str, Tensor]:
    own = {name: value for name, value in ours.items() if name.startswith(POSTERIOR)}
    if not allowed:
        raise ConfigError(
            f"{what} has no posterior (enc_q, {len(own)} parameters), as every shared voice; export it, or type "
            "pretrained.fresh_posterior=true to train on from it with a random one"
        )
    return own


def _span(rows: list[int]) -> str:
    if len(rows) > 3 and rows == list(range(rows[0], rows[0] + len(rows))):
        return f"rows {rows[0]} to {rows[-1]}"
    return f"row(s) {', '.join(map(str, rows[:10]))}" + ", ..." * (len(rows) > 10)
