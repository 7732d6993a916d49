"""Rules about the files beside a graph: are they those that it was delivered with?"""

import json
from pathlib import Path
from typing import Any

from utils.files import read_file, sha256_of_file, sha256_of_json
from utils.verification.candidate import Candidate
from utils.verification.checks import Check, skipped, verdict
from utils.voice_file.delivered import CARD

CHECKSUM = "checksum"  # key of card.json: of everything else in it
MOST_CARD_BYTES = 1 << 26


def check_files_beside(candidate: Candidate) -> Check:
    """Graph, index and card are those of one export: card.json and the graph state their checksums.

    A file that is absent is no fault: a graph needs none of the others. Nor is a card of other files.
    """
    name, path = "files beside it", candidate.path
    index = candidate.metadata.index_sha256 if candidate.metadata is not None else None
    beside = path.parent / f"{candidate.metadata.name}.index" if candidate.metadata is not None else None
    problems, compared = [], []
    if index and beside is not None and beside.is_file():
        compared.append(beside.name)
        if sha256_of_file(beside) != index:
            problems.append(f"{beside.name} is not the index that the graph states (another SHA-256)")
    if (path.parent / CARD).is_file():
        problems += _problems_of_card(path, compared)
    detail = f"as stated: {', '.join(dict.fromkeys(compared))}"
    return verdict(name, problems, detail) if compared or problems else skipped(name, "neither its card nor its index")


def _problems_of_card(path: Path, compared: list[str]) -> list[str]:
    """Return in what the card beside a graph is wrong, and add the names of the files that were compared."""
    try:
        card = _read_card(path.parent / CARD)
        stated = {str(entry["name"]): str(entry["sha256"]) for entry in card["files"]}
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return [f"{CARD} cannot be read"]
    if path.name not in stated:
        return []
    compared.append(CARD)
    checksum = card.pop(CHECKSUM, None)  # older cards have none
    problems = [f"{CARD} was changed after it was written"] * (checksum not in (None, checksum_of_card(card)))
    for file, digest in stated.items():
        if Path(file).name == file and (path.parent / file).is_file():
            compared.append(file)
            if sha256_of_file(path.parent / file) != digest:
                problems.append(f"{file} is not the file that {CARD} describes (another SHA-256)")
    return problems


def _read_card(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_CARD_BYTES:
        raise ValueError("no card")
    card = json.loads(read_file(path).decode("utf-8"), parse_constant=lambda _: None)
    if not isinstance(card, dict):
        raise TypeError("no card")
    return card


def checksum_of_card(card: dict[str, Any]) -> str:
    """Return the hash of a card as it reads back: keys are texts then."""
    return sha256_of_json(json.loads(json.dumps(card)))
