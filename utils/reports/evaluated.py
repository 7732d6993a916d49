"""What `python test_model.py evaluate=...` found, for the pages: its figures, leak checks and sounds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.errors import ConfigError
from utils.evaluation.figures import describe_figure, is_shown
from utils.evaluation.voice_report import EVALUATION_FILE
from utils.files import read_json
from utils.reports.sections import Figure, FiguresSection, Outcome, OutcomesSection, Section
from utils.reports.sounds import Group, SoundMaker, group_of_files
from utils.reports.verdict import Quality

MOST_SOURCES = 8
WORDS = {"good": "PASS", "bad": "FAIL", "none": "not tried"}


class Evaluated:
    """An evaluation.json.

    Args:
        content: of the file.
        folder: where it lies.
    """

    def __init__(self, content: dict[str, Any], folder: Path) -> None:
        self.voices: list[dict[str, Any]] = content["voices"]
        self.differences: dict[str, dict[str, Any]] = content.get("differences") or {}
        self.sweep: dict[str, Any] = content.get("sweep") or {}
        self.target: list[str] = content.get("target", [])
        self.folder = folder

    @classmethod
    def find(cls, place: Path | None, folder: Path) -> "Evaluated | None":
        """Read a file, or the one in a folder; None where none is given and none lies there.

        Raises:
            ConfigError: if the given one is none.
        """
        path = place or folder / EVALUATION_FILE
        try:
            content = read_json(path)
            if not all(isinstance(voice["means"], dict) for voice in content["voices"]):
                raise ValueError("a voice of it has no figures")
            return cls(content, path.parent) if content["voices"] else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            if place is None:
                return None
            hint = "make it with: python test_model.py evaluate=<voice> sources=<folder> target=<folder>"
            raise ConfigError(f"evaluation={place} is no evaluation ({error}); {hint}") from error

    @property
    def quality(self) -> Quality:
        """What a listener can expect of the first voice."""
        return Quality.of_means(self.voices[0]["means"])

    def sections(self) -> list[Section]:
        """Return the table of figures and the leak checks."""
        voice = self.voices[0]
        figures = [self._figure(key, voice) for key in voice["means"] if is_shown(key)]
        notes = [f"{name} is not installed: {command}" for name, command in voice.get("missing", {}).items()]
        notes += [str(self.sweep["recommendation"])] if self.sweep.get("recommendation") else []
        found: list[Section] = [
            FiguresSection(
                title="Figures",
                anchor="figures",
                intro=f"Means over {len(voice['files'])} conversions.",
                figures=figures,
                other=self.voices[1]["name"] if len(self.voices) > 1 else "",
                notes=notes,
            )
        ]
        leaks = [Outcome(row["outcome"], WORDS[row["outcome"]], row["name"], row["detail"]) for row in voice["leaks"]]
        if leaks:
            intro = "What must not get through a voice: the source's identity, noise as words, sound from silence."
            found.append(OutcomesSection(title="Leak checks", anchor="leaks", intro=intro, outcomes=leaks))
        return found

    def groups(self, maker: SoundMaker) -> list[Group]:
        """Return a group for each of the first sources: source, conversions, and a recording of the target."""
        groups = []
        for index, row in enumerate(self.voices[0]["files"][:MOST_SOURCES]):
            files: list[tuple[Path, str, str]] = [(Path(row["source"]), "source", "source")]
            for voice in self.voices:
                name = "converted" if len(self.voices) == 1 else str(voice["name"])
                found = next((item for item in voice["files"] if item["file"] == row["file"]), None)
                if found:
                    files.append((Path(found["converted"]), name, "converted"))
            if self.target:
                files.append((Path(self.target[index % len(self.target)]), "target", "target"))
            note = "the target speaks another sentence" if self.target else ""
            group = group_of_files(maker, str(row["file"]), files, note)
            groups += [group] if group else []
        return groups

    def _figure(self, key: str, voice: dict[str, Any]) -> Figure:
        value, interval = voice["means"][key], voice["intervals"].get(key)
        name, meaning = describe_figure(key)
        difference = self.differences.get(key)
        return Figure(
            name,
            "not measurable" if value is None else f"{value:.3f}",
            f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "",
            meaning,
            f"{difference['mean']:+.3f}" if difference else "",
            bool(difference and difference["is_real"]),
        )


def paired_groups(
    maker: SoundMaker, pairs: Sequence[tuple[Path, Path]], target: Sequence[Path], title_of: Path | None = None
) -> list[Group]:
    """Return a group for each (source, converted file), with a recording of the target."""
    groups = []
    for index, (source, converted) in enumerate(pairs[:MOST_SOURCES]):
        files = [(source, "source", "source"), (converted, "converted", "converted")]
        files += [(target[index % len(target)], "target", "target")] if target else []
        title = str(source.relative_to(title_of)) if title_of and source.is_relative_to(title_of) else source.name
        group = group_of_files(maker, title, files, "the target speaks another sentence" if target else "")
        groups += [group] if group else []
    return groups
