"""Which recordings the encoder learns from and which speakers it never hears."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from utils.audio.listing import list_audio
from utils.errors import ConfigError, DataError


class Corpus(NamedTuple):
    """A folder of recordings.

    Attributes:
        name: short name; clips of one name are drawn in proportion to their length.
        folder: where the recordings are, also in folders below.
        share: part of the training examples that come from here, relative to the other corpora.
    """

    name: str
    folder: Path
    share: float


class Recording(NamedTuple):
    """One sound file; the speaker is the sub-folder, else the part of the file name before the first "-" or "_"."""

    corpus: str
    speaker: str
    path: Path
    is_held_out: bool


def parse_corpus(text: str) -> Corpus:
    """Read NAME=FOLDER=SHARE from the command line.

    Raises:
        ConfigError: if a part is missing, the folder does not exist or the share is not a number above 0.
    """
    name, _, rest = text.partition("=")
    folder, _, share_text = rest.rpartition("=")
    try:
        share = float(share_text)
    except ValueError:
        share = 0.0
    if not name or not folder or not share > 0:
        raise ConfigError(
            f"--corpus {text!r} is not NAME=FOLDER=SHARE with a share above 0, for example nl=corpora/nl=0.12"
        )
    if not Path(folder).is_dir():
        raise ConfigError(
            f"--corpus {name}: {folder} is not a folder; docs/guides/content_encoder.md says how to get the recordings"
        )
    return Corpus(name, Path(folder), share)


def parse_held_out(texts: Sequence[str], corpora: Sequence[Corpus]) -> dict[str, int]:
    """Read NAME=COUNT, the number of speakers of a corpus to keep for validation.

    Raises:
        ConfigError: if the form is wrong, the corpus is not there or nothing is held out at all.
    """
    counts = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in {corpus.name for corpus in corpora} or not number.isdigit() or int(number) < 1:
            names = ", ".join(corpus.name for corpus in corpora)
            raise ConfigError(f"--held-out {text!r} is not NAME=COUNT with a NAME of {names} and a COUNT of at least 1")
        counts[name] = int(number)
    if not counts:
        raise ConfigError("--held-out is missing: without speakers kept apart there is no validation; type NAME=COUNT")
    return counts


def list_recordings(corpora: Sequence[Corpus], held_out: dict[str, int]) -> list[Recording]:
    """List every file once, also where symbolic links name it several times.

    Raises:
        DataError: if a folder has no recordings or fewer speakers than are to be held out.
    """
    found: list[Recording] = []
    seen: set[Path] = set()
    for corpus in corpora:
        fresh = []
        for path in list_audio(corpus.folder):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                fresh.append(path)
        speakers = [speaker_of(path, corpus.folder) for path in fresh]
        apart = choose_held_out(set(speakers), held_out.get(corpus.name, 0), corpus.name)
        found += [
            Recording(corpus.name, speaker, path, speaker in apart)
            for speaker, path in zip(speakers, fresh, strict=True)
        ]
    return found


def speaker_of(path: Path, folder: Path) -> str:
    """Return who speaks, by sub-folder or file name."""
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else path.stem.replace("_", "-").split("-")[0]


def choose_held_out(speakers: set[str], count: int, corpus: str) -> set[str]:
    """Take every n-th speaker in numeric or alphabetic order, starting in the middle of the first n.

    Raises:
        DataError: if nobody would be left for training.
    """
    if not count:
        return set()
    if count >= len(speakers):
        raise DataError(f"{corpus}: {count} speaker(s) are to be held out of {len(speakers)}; hold out fewer")
    ordered = sorted(speakers, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    step = len(ordered) // count
    return set(ordered[step // 2 :: step][:count])
