"""The weights that ship with the workbench, and whether a file is still what it was.

shipped_weights.sha256 lists them; after a change of one, in the project's root:

    sha256sum utils/features/weights/*.safetensors models/weights/*.safetensors > utils/shipped_weights.sha256
"""

from pathlib import Path

from utils.errors import FormatError
from utils.files import sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("shipped_weights.sha256")
SHOWN = 12  # digits of a hash in messages
ROW = "| licences in short |"


def shipped_hashes() -> dict[str, str]:
    """Return the expected SHA-256 of each shipped file by its path from the project's root.

    Raises:
        FormatError: if the list is absent.
    """
    try:
        lines = LIST.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FormatError(f"{LIST} cannot be read ({error.strerror}); restore it from the repository") from error
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {name.strip().lstrip("*"): digest for digest, name in pairs}


def licences_of(sha256: str) -> str | None:
    """Return the licences of shipped weights and of what they were trained on, in short; None for other weights.

    They stand in the model card beside the weights, in its row "licences in short".
    """
    path = next((ROOT / name for name, digest in shipped_hashes().items() if digest == sha256), None)
    cards = [card for card in path.parent.glob("*.md") if path.stem.startswith(card.stem)] if path else []
    rows = [
        line.split("|")[2].strip() for card in cards for line in card.read_text("utf-8").splitlines() if ROW in line
    ]
    return rows[0] if rows else None


def find_shipped(name: str, folder: Path = ROOT) -> Path | None:
    """Return the shipped file that a name in a configuration means; None if it means another file.

    Args:
        name: as configured; "./x" is no shipped file's name and means the working folder.
        folder: of the project, from which shipped files are named.
    """
    prefix = "" if folder == ROOT else f"{folder.relative_to(ROOT).as_posix()}/"
    return folder / name if f"{prefix}{name}" in shipped_hashes() else None


def checked_sha256(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        FormatError: if it cannot be read, or ships with the workbench and is absent or not what it was.
    """
    place = path.parent.resolve() / path.name
    expected = shipped_hashes().get(place.relative_to(ROOT).as_posix()) if place.is_relative_to(ROOT) else None
    if expected is not None and not place.is_file():
        raise FormatError(f"{place} is missing; restore it from the repository")
    try:
        found = sha256_of_file(path)
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error.strerror})") from error
    if expected is not None and found != expected:
        raise FormatError(
            f"{place} has SHA-256 {found[:SHOWN]}..., expected {expected[:SHOWN]}...; restore it from the repository"
        )
    return found
