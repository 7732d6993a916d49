"""What the demo prints: every step and figure with words that say what it is."""

import json
from pathlib import Path

import pytest

from scripts.demo import MEANINGS, STAGES, DemoResult, collect, parity_of, show
from scripts.pipeline import Stage


def write_results(folder: Path) -> dict[str, Path]:
    """Write what the stages leave behind."""
    means = {f"resemblyzer_{name}": 0.8 for name in ("source_to_target", "converted_to_target", "converted_to_source")}
    contents = {
        "metrics.json": {"first": {"val/mel": 0.5}, "last": {"val/mel": 0.4}, "steps": 7},
        "card.json": {"verification": {"a.onnx": [{"figures": {"parity_relative_rms": 1e-6}}]}},
        "report.json": {"speed": [{"num_threads": count, "real_time_factor": 0.05} for count in (1, 2)]},
        "similarity.json": {"means": {**means, "f0_correlation": None, "identical_files": 0.0}},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    return {"report": folder / "report.json", "evaluation": folder / "similarity.json"}


def test_every_step_and_figure_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = collect(tmp_path, tmp_path, **write_results(tmp_path))

    show(DemoResult([Stage(name, 1.0, False) for name in STAGES], figures, {"voice": tmp_path / "a.onnx"}), tmp_path)

    lines = capsys.readouterr().out.splitlines()
    assert {name for name in figures if not name.startswith("real-time factor")} == set(MEANINGS)
    for name, words in {**STAGES, **MEANINGS}.items():
        assert any(line.startswith(name) and line.endswith(words) for line in lines), name
    assert any("F0 correlation" in line and " - " in line for line in lines)  # not measured


def test_parity_is_the_worst_of_all_graphs() -> None:
    checks = {
        "a.onnx": [{"figures": {"parity_relative_rms": 1e-6}}],
        "b.onnx": [{"figures": {"parity_relative_rms": 2e-6}}],
    }

    assert parity_of({"verification": checks}) == 2e-6
