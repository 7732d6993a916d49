"""What a folder of this disk says of itself: datasets, runs, voices and imported files, read from their own files.

Everything here may come from a stranger: it is read as plain data, and what cannot be read is a line, not an end.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from studio.texts import Line
from utils.config import select
from utils.config.secret_keys import SECRET_NAME, STARS

Kind = Literal["dataset", "run", "voice", "imported"]
Facts = dict[str, str | int | float]
MANIFESTS: dict[Kind, str] = {
    "dataset": "dataset.json", "run": "config.yaml", "voice": "card.json", "imported": "import.json",
}  # fmt: skip
MAX_BYTES = 8 << 20
SHAPING = ("source", "audio", "reading", "content_speeds", "content_noise_db", "content_room_seconds", "held_out")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError)


def facts_of(kind: Kind, folder: Path) -> Facts:
    """Return what is worth showing of a folder, in the order in which it is shown, by plain names with their unit.

    Raises:
        UNREADABLE: one of them, if its manifest is damaged.
    """
    readers: dict[Kind, Callable[[Path], Facts]] = {
        "dataset": _dataset, "run": _run, "voice": _voice, "imported": _imported,
    }  # fmt: skip
    facts = readers[kind](folder)
    return {key: value for key, value in facts.items() if value != "" and not _is_no_number(value)}


def settings_of(kind: Kind, folder: Path) -> dict[str, str]:
    """Return every setting behind a run or a voice as text by its dotted key; empty for others and where unreadable."""
    try:
        if kind == "run":
            content = _yaml((folder / MANIFESTS["run"]).read_text(encoding="utf-8"))
        elif kind == "voice":
            content = _yaml(str(read_json(folder / MANIFESTS["voice"])["voice"]["config"]))
        elif kind == "dataset":
            content = {key: value for key, value in read_json(folder / MANIFESTS["dataset"]).items() if key in SHAPING}
        else:
            return {}
    except UNREADABLE:
        return {}
    return {key: STARS if SECRET_NAME.search(key) else value for key, value in _flat(content)}


def read_json(path: Path) -> Any:
    """Return what a JSON file of at most MAX_BYTES holds.

    Raises:
        OSError, ValueError: if it cannot be read, is larger or is no JSON.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_BYTES / 1e6:.0f} MB")
    return json.loads(path.read_text(encoding="utf-8"))


def _dataset(folder: Path) -> Facts:
    content = read_json(folder / MANIFESTS["dataset"])
    speakers = content["speakers"]
    facts: Facts = {
        Line("fact.minutes"): round(sum(float(item["minutes"]) for item in speakers), 2),
        Line("fact.recordings"): sum(int(item["files"]) for item in speakers),
        Line("fact.clips"): sum(int(item["clips"]) for item in speakers),
        Line("fact.speakers"): ", ".join(str(item["name"]) for item in speakers),
        Line("fact.rate"): int(content["audio"]["sample_rate"]),
        Line("fact.source"): str(content["source"]),
    }
    if (folder / "doctor.json").is_file():
        verdicts = read_json(folder / "doctor.json")["verdicts"]
        facts[Line("fact.doctor")] = ", ".join(f"{name}: {word}" for name, word in verdicts.items())
    return facts


def _run(folder: Path) -> Facts:
    config = _yaml((folder / MANIFESTS["run"]).read_text(encoding="utf-8"))
    states = [name for name in ("best", "last") if (folder / "checkpoints" / f"{name}.ckpt").is_file()]
    facts: Facts = {
        Line("fact.dataset"): str(select(config, "dataset.name") or ""),
        Line("fact.model"): str(select(config, "model._target_") or "").rpartition(".")[2],
        Line("fact.rate"): int(select(config, "audio.sample_rate") or 0),
        Line("fact.states"): ", ".join(states) or Line("fact.no_state"),
    }
    if (folder / "metrics.json").is_file():
        metrics = read_json(folder / "metrics.json")
        best, last = metrics.get("best") or {}, metrics.get("last") or {}
        facts |= {
            Line("fact.steps"): int(metrics["steps"]),
            Line("fact.trained"): round(float(metrics["seconds"]) / 60, 1),
            Line("fact.best"): _number(best.get("val/mel")),
            Line("fact.at_step"): int(best.get("step") or 0),
            Line("fact.last"): _number(last.get("val/mel")),
        }
    return facts


def _voice(folder: Path) -> Facts:
    card = read_json(folder / MANIFESTS["voice"])
    voice = card["voice"]
    outcomes = [str(check["outcome"]) for checks in card.get("verification", {}).values() for check in checks]
    return {
        Line("fact.files"): ", ".join(str(item["name"]) for item in card["files"]),
        Line("fact.rates"): ", ".join(map(str, card.get("rates", []))),
        Line("fact.speakers"): ", ".join(str(item["name"]) for item in voice["speakers"]),
        Line("fact.verification"): _verdict(outcomes),
        Line("fact.licence"): str(voice.get("licence", "")),
        Line("fact.consent"): str(voice.get("consent", "")),
        Line("fact.step"): int(voice.get("step") or 0),
        Line("fact.held_out"): _number((voice.get("metrics") or {}).get("val/mel")),
        Line("fact.content"): str((voice.get("encoder") or {}).get("id", "")),
        Line("fact.pitch"): str((voice.get("pitch") or {}).get("id", "")),
    }


def _imported(folder: Path) -> Facts:
    content = read_json(folder / MANIFESTS["imported"])
    facts: Facts = {
        Line("fact.from"): str(content["source"]),
        Line("fact.files"): ", ".join(str(item["name"]) for item in content["files"]),
    }
    return facts | {
        Line("fact.what", file=str(item["name"])): str((item["report"] or [""])[0]) for item in content["files"]
    }


def _verdict(outcomes: list[str]) -> str:
    if not outcomes:
        return ""
    counts = {word: outcomes.count(word) for word in ("PASS", "WARN", "FAIL", "SKIP")}
    parts = tuple(Line(f"fact.{word.lower()}", number=count) for word, count in counts.items() if count)
    return Line("fact.verdict", parts=parts)


def _yaml(text: str) -> Mapping[str, Any]:
    """Return YAML as plain data; aliases, by which a small text becomes a huge structure, are refused."""
    if len(text) > MAX_BYTES or any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
        raise ValueError("it is too large, or has aliases")
    found = yaml.safe_load(text)
    if not isinstance(found, Mapping):
        raise ValueError("it is no mapping")
    return found


def _flat(content: Any, before: str = "") -> list[tuple[str, str]]:
    if isinstance(content, Mapping):
        return [
            pair for key, value in content.items() for pair in _flat(value, f"{before}.{key}" if before else f"{key}")
        ]
    return [(before, json.dumps(content, ensure_ascii=False, default=str) if content is not None else "null")]


def _number(value: Any) -> float | str:
    return round(float(value), 4) if isinstance(value, int | float) and math.isfinite(value) else ""


def _is_no_number(value: str | int | float) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
