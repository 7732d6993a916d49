"""The comparison with other versions of onnxruntime: what counts as a difference."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import old_runtimes


class Session:
    """Answers with what it gets."""

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return list(feeds.values())


@pytest.mark.parametrize(
    ("factor", "code", "words", "written"),
    [(1.0, 0, "-200.0 dB", -200.0), (1.01, 1, "-40.0 dB", -40.0), (np.nan, 1, "inf dB", None)],
)
def test_an_answer_that_is_no_number_is_a_difference(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    factor: float,
    code: int,
    words: str,
    written: float | None,
) -> None:
    inputs = {"good": np.ones((1, 4)), "bad": np.ones((1, 4)), "good too": np.ones((1, 4))}
    answers = {name: audio * (factor if name == "bad" else 1) for name, audio in inputs.items()}
    monkeypatch.setattr(old_runtimes, "open_session", lambda _: Session())
    monkeypatch.setattr(old_runtimes, "trial_inputs", lambda _: inputs)
    monkeypatch.setattr(old_runtimes, "installed", lambda version, _: tmp_path / version)
    monkeypatch.setattr(old_runtimes, "answers_of", lambda *_: ("1.19.2", answers))
    report = tmp_path / "report.json"
    monkeypatch.setattr(sys, "argv", ["old_runtimes", "x_sr24000_hop240_nfft960.onnx", "1.19.2", "--json", str(report)])

    found = old_runtimes.main()

    row = json.loads(report.read_text(encoding="utf-8"))[0]
    assert found == code
    assert words in capsys.readouterr().out
    assert row["difference_db"] == (None if written is None else pytest.approx(written, abs=0.1))
    assert factor == 1 or row["worst_input"] == "bad"


def test_nothing_is_near_to_what_is_not_finite() -> None:
    assert not old_runtimes.Comparison("1.19.2", float("inf"), "all").is_near
    assert old_runtimes.Comparison("1.19.2", -100.0, "all").is_near
