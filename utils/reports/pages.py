"""The pages of a run, a dataset and an exported voice, put together from what lies in their folders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from utils.config import from_yaml, select
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, WorkbenchError
from utils.files import read_json
from utils.reports.curves import RunCurves, charts_of, read_curves, rule_of
from utils.reports.dataset_plots import dataset_charts, long_term_spectrum, remarkable_clips
from utils.reports.doctor import read_diagnosis
from utils.reports.evaluated import Evaluated
from utils.reports.heard import comparisons_of, heard_groups
from utils.reports.machine import machine_facts
from utils.reports.render import SOUND_BYTES
from utils.reports.sections import (
    BlindSection,
    ChartsSection,
    DiagnosisSection,
    Fact,
    FactsSection,
    Outcome,
    OutcomesSection,
    Page,
    Section,
    SoundsSection,
)
from utils.reports.sounds import Group, SoundMaker, fitting
from utils.reports.verdict import Quality, dataset_verdict, export_verdict, run_verdict
from utils.training.criterion import CRITERION
from utils.training.evaluation_folder import EvaluationFolder, best_state
from utils.training.forecast import Forecast
from utils.training.listening import ListeningFolder

CARD = "card.json"
TONES = {"PASS": "good", "WARN": "warn", "FAIL": "bad"}
# what a run was told, of its config.yaml
RUN_KEYS = (
    ("model", "model._target_"), ("started from", "pretrained.generator"), ("steps at most", "trainer.steps"),
    ("minutes at most", "trainer.max_minutes"), ("batch", "data.batch_size"),
    ("learning rate", "optim.optimizer.lr"), ("objective", "loss.objective"), ("precision", "trainer.precision"),
    ("overtraining", "overtraining.mode"), ("seed", "seed"),
)  # fmt: skip


@dataclass(frozen=True)
class Extras:
    """What a page may show besides what lies in its folder.

    Attributes:
        evaluation: an evaluation.json; None for the one in the folder.
        groups: sounds that come first.
    """

    evaluation: Path | None = None
    groups: tuple[Group, ...] = ()


def run_page(run: Path, extras: Extras, maker: SoundMaker) -> Page:
    """Return the page of a run.

    Raises:
        ConfigError: if the folder is no run.
    """
    config = run_config(run)
    first = int(select(config, "loss.adversarial_start", 0) or 0) if select(config, "discriminator") else 0
    rule = rule_of(select(config, "overtraining", {}) or {})
    curves = read_curves(run / "metrics.csv", rule, first)
    dataset = Path(str(select(config, "dataset.root", "datasets"))) / str(select(config, "dataset.name", ""))
    store, problem = open_dataset(dataset)
    judged = _judged_best(run, curves) if select(config, "evaluation.selects", False) else None
    curves.chosen = judged or curves.chosen
    evaluated = Evaluated.find(extras.evaluation, run)
    minutes = sum(clip.duration_seconds for clip in store.split("train")) / 60 if store else None
    verdict = run_verdict(curves, minutes, evaluated.quality if evaluated else Quality())
    page = Page(run.name, "run", verdict.text, verdict.tone, _run_chips(curves, minutes))
    groups = [*extras.groups, *(evaluated.groups(maker) if evaluated else [])]
    groups += heard_groups(ListeningFolder(run), maker, curves.chosen[0] if curves.chosen else None)
    page.sections += _sound_sections(groups)
    charts = charts_of(curves)
    if charts:
        chooses = "The score of strangers" if judged else CRITERION
        intro = f"{chooses} chooses the state that is exported." if CRITERION in curves.series else ""
        page.sections.append(ChartsSection(title="Curves", anchor="curves", intro=intro, charts=charts))
    page.sections += _judged_sections(curves) + _forecast_sections(run)
    page.sections += evaluated.sections() if evaluated else []
    page.sections.append(_settings_section(config, dataset, store, problem))
    page.sections += _dataset_sections(store) if store else []
    page.sections.append(_machine_section())
    return page


def _judged_best(run: Path, curves: RunCurves) -> tuple[int, float] | None:
    """Return step and criterion of the judged state with the best score."""
    best = best_state(EvaluationFolder(run).states())
    return (best.step, dict(curves.held_out).get(best.step, math.nan)) if best else None


def _judged_sections(curves: RunCurves) -> list[Section]:
    charts = charts_of(curves, judged=True)
    if not charts:
        return []
    intro = "What the states of this run made of strangers and of held-out sentences; the sounds are above."
    return [ChartsSection(title="Judged while it trained", anchor="judged", intro=intro, charts=charts)]


def _forecast_sections(run: Path) -> list[Section]:
    forecast = Forecast.read(run)
    if forecast is None:
        return []
    facts = [Fact(what, how_much) for what, how_much in forecast.lines]
    intro = f"As it looked at step {forecast.step}; times are counted from there, without validations."
    return [FactsSection(title="Forecast", anchor="forecast", intro=intro, facts=facts)]


def dataset_page(dataset: Path, extras: Extras, maker: SoundMaker) -> Page:
    """Return the page of a dataset.

    Raises:
        FormatError: if the folder is no dataset, or a damaged one.
    """
    store = CorpusStore.open(dataset)
    report = _json(dataset / "report.json")
    dropped = report.get("dropped", [])
    speakers = store.description.speakers
    minutes = sum(speaker.minutes for speaker in speakers)
    held_out = sum(speaker.held_out_minutes for speaker in speakers)
    diagnosis = read_diagnosis(dataset)
    left_out = diagnosis.left_out if diagnosis else ()
    is_full = long_term_spectrum(store).is_full
    verdict = dataset_verdict(minutes, held_out, len(dropped), is_full, len(left_out))
    chips = [
        Fact("minutes", f"{minutes:.1f}"),
        Fact("held out", f"{held_out:.2f} min"),
        Fact("clips", str(len(store.clips))),
        Fact("speakers", str(len(speakers))),
        Fact("rate", f"{store.audio.sample_rate} Hz"),
    ]
    page = Page(store.description.name, "dataset", verdict.text, verdict.tone, chips)
    page.sections += _dataset_sections(store)
    page.sections += _sound_sections([*extras.groups, *_remarkable_groups(store, maker, left_out)], with_blind=False)
    page.sections += _file_sections(report)
    page.sections.append(_machine_section())
    return page


def export_page(export: Path, extras: Extras, maker: SoundMaker) -> Page:
    """Return the page of an exported voice.

    Raises:
        ConfigError: if the folder holds no card.
    """
    card = _json(export / CARD)
    if not card or not _is_card(card):
        raise ConfigError(f"voice={export} holds no readable {CARD}; give the folder that export_onnx.py made")
    checks = {name: rows for name, rows in card.get("verification", {}).items() if rows}
    rows = [row for found in checks.values() for row in found]
    outcomes = [str(row.get("outcome", "PASS" if row.get("passed") else "FAIL")) for row in rows]
    evaluated = Evaluated.find(extras.evaluation, export)
    failed, warned = outcomes.count("FAIL"), outcomes.count("WARN")
    verdict = export_verdict(failed, warned, len(rows), evaluated.quality if evaluated else Quality())
    voice: dict[str, Any] = card.get("voice", {})
    page = Page(str(voice.get("name", export.name)), "exported voice", verdict.text, verdict.tone, _export_chips(card))
    page.sections += _sound_sections([*extras.groups, *(evaluated.groups(maker) if evaluated else [])])
    page.sections += evaluated.sections() if evaluated else []
    page.sections.append(_voice_section(voice, card))
    for number, (name, found) in enumerate(checks.items()):
        shown = [Outcome(TONES.get(word, "none"), word, str(row["name"]), str(row["detail"]))
                 for word, row in zip([str(row.get("outcome", "")) for row in found], found, strict=True)]  # fmt: skip
        anchor = f"verification{number or ''}"
        title = f"Verification of {name}" if len(checks) > 1 else "Verification"
        page.sections.append(OutcomesSection(title=title, anchor=anchor, outcomes=shown))
    page.sections.append(_machine_section())
    return page


CARD_KINDS: dict[str, type] = {"verification": dict, "rates": list, "files": list, "tools": dict}
VOICE_KINDS: dict[str, type] = {"speakers": list, "defaults": dict, "metrics": dict, "encoder": dict, "pitch": dict}


def _is_card(card: dict[str, Any]) -> bool:
    """Whether what the page shows of a card is of its kind."""
    voice = card.get("voice", {})
    if not isinstance(voice, dict) or not all(
        isinstance(card.get(key, kind()), kind) for key, kind in CARD_KINDS.items()
    ):
        return False
    if not all(isinstance(voice.get(key, kind()), kind) for key, kind in VOICE_KINDS.items()):
        return False
    rows = [
        row for found in card.get("verification", {}).values() for row in (found if isinstance(found, list) else [0])
    ]
    return (
        all(isinstance(row, dict) and {"name", "detail"} <= row.keys() for row in rows)
        and all(
            isinstance(row, dict) and isinstance(row.get("bytes"), int) and "name" in row
            for row in card.get("files", [])
        )
        and all(isinstance(row, dict) for row in voice.get("speakers", []))
        and all(isinstance(value, int | float) for value in voice.get("metrics", {}).values())
    )


def run_config(run: Path) -> dict[str, Any]:
    """Return the content of a run's config.yaml.

    Raises:
        ConfigError: if the folder has none that can be read.
    """
    try:
        config = from_yaml((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, WorkbenchError) as error:
        raise ConfigError(f"run={run} holds no readable config.yaml; give a folder that train.py made") from error
    if not isinstance(config, dict):
        raise ConfigError(f"run={run}: its config.yaml holds no settings; give a folder that train.py made")
    return config


def open_dataset(folder: Path) -> tuple[CorpusStore | None, str]:
    """Return a run's dataset, or None and why it is not shown."""
    try:
        return CorpusStore.open(folder), ""
    except WorkbenchError as error:
        return None, f"its recordings are not shown: {error}"


def _sound_sections(groups: Sequence[Group], *, with_blind: bool = True) -> list[Section]:
    kept, left_out = fitting(groups, SOUND_BYTES)
    if not kept:
        return []
    sections: list[Section] = [SoundsSection(title="Listen", anchor="listen", groups=kept, left_out=left_out)]
    comparisons = comparisons_of(kept) if with_blind else []
    if comparisons:
        intro = "Can you hear a difference if you do not know which is which?"
        sections.append(BlindSection(title="Blind test", anchor="blind", intro=intro, comparisons=comparisons))
    return sections


def _dataset_sections(store: CorpusStore) -> list[Section]:
    sections: list[Section] = []
    diagnosis = read_diagnosis(store.path)
    if diagnosis:
        sections.append(DiagnosisSection(title="Are the recordings good?", anchor="doctor", diagnosis=diagnosis))
    charts = dataset_charts(store)
    sections.append(ChartsSection(title="Recordings", anchor="recordings", charts=charts))
    return sections


def _remarkable_groups(store: CorpusStore, maker: SoundMaker, flagged: Sequence[str]) -> list[Group]:
    rate = store.audio.sample_rate
    sounds = [
        maker.of_audio(store.waveform(item.clip), rate, f"{item.reason} ({item.clip.source})", "target")
        for item in remarkable_clips(store, flagged)
    ]
    return [Group("Clips that stand out", sounds, "listen for another speaker, noise, clipping")] if sounds else []


def _file_sections(report: dict[str, Any]) -> list[Section]:
    """Return what was remarked of recordings; nothing of a report that is damaged or made up."""
    try:
        used = [row for row in report.get("files", []) if row.get("status") == "used" and row.get("notes")]
        rows = [Outcome("bad", "dropped", str(row["source"]), str(row["reason"])) for row in report.get("dropped", [])]
        rows += [Outcome("warn", "used", str(row["source"]), "; ".join(map(str, row["notes"]))) for row in used]
        rows += [Outcome("warn", "note", str(note), "") for note in report.get("notes", [])]
    except (AttributeError, LookupError, TypeError):
        return []
    intro = "What preprocess.py could not use, or used with a remark."
    return [OutcomesSection(title="Files", anchor="files", intro=intro, outcomes=rows)] if rows else []


def _run_chips(curves: RunCurves, minutes: float | None) -> list[Fact]:
    last = max((series[-1][0] for series in curves.series.values() if series), default=0)
    chips = [Fact("updates", str(last))]
    if curves.chosen:
        chips += [Fact("chosen", f"step {curves.chosen[0]}"), Fact("held-out loss", f"{curves.chosen[1]:.4f}")]
    chips += [Fact("validations", str(len(curves.held_out)))]
    return [*chips, Fact("trained on", f"{minutes:.1f} min")] if minutes is not None else chips


def _settings_section(config: dict[str, Any], dataset: Path, store: CorpusStore | None, problem: str) -> FactsSection:
    facts = [Fact("dataset", str(dataset))]
    if store:
        speakers = store.description.speakers
        facts.append(Fact("recordings", "; ".join(f"{row.name}: {row.minutes:.1f} min, {row.clips} clips, median "
                                                  f"{row.f0_median_hz or 0:.0f} Hz" for row in speakers)))  # fmt: skip
    facts.append(Fact("rate", f"{select(config, 'audio.sample_rate', '?')} Hz"))
    for name, key in RUN_KEYS:
        value = select(config, key)
        if value is not None:
            facts.append(Fact(name, str(value)))
    notes = [problem] if problem else []
    return FactsSection(title="What was trained on what", anchor="settings", facts=facts, notes=notes)


def _export_chips(card: dict[str, Any]) -> list[Fact]:
    voice: dict[str, Any] = card.get("voice", {})
    size = sum(int(row.get("bytes", 0)) for row in card.get("files", []))
    chips = [
        Fact("rates", ", ".join(f"{rate} Hz" for rate in card.get("rates", []))),
        Fact("files", f"{size / 1e6:.0f} MB"),
    ]
    chips += [Fact("speakers", ", ".join(str(row.get("name")) for row in voice.get("speakers", [])))]
    return [*chips, Fact("updates", str(voice.get("step", "?")))]


def _voice_section(voice: dict[str, Any], card: dict[str, Any]) -> FactsSection:
    defaults = ", ".join(f"{name} {value}" for name, value in voice.get("defaults", {}).items())
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in voice.get("metrics", {}).items())
    facts = [
        Fact("files", "; ".join(f"{row['name']} ({row['bytes'] / 1e6:.1f} MB)" for row in card.get("files", []))),
        Fact("content, pitch", f"{voice.get('encoder', {}).get('id')}, {voice.get('pitch', {}).get('id')}"),
        Fact("training", metrics or "not stated"),
        Fact("controls", defaults or "none"),
        Fact("licence, consent", f"{voice.get('licence')}, {voice.get('consent')}"),
        Fact("made with", ", ".join(f"{name} {version}" for name, version in card.get("tools", {}).items())),
    ]
    return FactsSection(title="The voice", anchor="voice", facts=facts)


def _machine_section() -> FactsSection:
    return FactsSection(title="Machine and versions", anchor="machine", facts=machine_facts())


def _json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; empty where it is absent or damaged."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
