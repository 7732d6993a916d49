"""python test_model.py verify=<file>: the table, the report and the exit code."""

import json
from pathlib import Path

import pytest

from tests.scripts.test_test_model import run
from tests.tools.planted_graphs import NAME, speaking
from utils.verification.rules import RULES, WHOLE

OF_A_VOICE = [rule for rule in RULES if rule.kinds & WHOLE]


@pytest.mark.slow
def test_script_exits_by_the_outcome_and_writes_the_report(tmp_path: Path) -> None:
    speaking(tmp_path, late=24, name="late_sr8000_hop80_nfft320.onnx")
    speaking(tmp_path)
    quick = ("verify_minutes=0.1", "verify_blocks=20")

    good = run(tmp_path, f"verify={NAME}", "report=out/r.json", *quick)
    bad = run(tmp_path, "verify=late_sr8000_hop80_nfft320.onnx", *quick)

    assert (good.returncode, bad.returncode) == (0, 1), good.stderr + bad.stderr
    assert "PASS  not the dry signal" in good.stdout
    assert "equality with PyTorch was not tried" in good.stdout
    assert "FAIL  latency" in bad.stdout
    assert good.stdout.splitlines()[-1].startswith(f"verdict: {NAME} holds all ")
    assert bad.stdout.splitlines()[-1].startswith("verdict: late_sr8000_hop80_nfft320.onnx BREAKS 1 of ")
    assert ": latency" in bad.stdout.splitlines()[-1]
    report = json.loads((tmp_path / "out" / "r.json").read_text(encoding="utf-8"))
    assert report["passed"]
    failing = json.loads((tmp_path / "verified" / "late_sr8000_hop80_nfft320.json").read_text(encoding="utf-8"))
    assert [check["name"] for check in failing["checks"] if not check["passed"]] == ["latency"]
    figures = next(check["figures"] for check in failing["checks"] if check["name"] == "latency")
    assert 0.001 < figures["latency_seconds"] < 0.004  # an all-pass moves the level of bursts by half a millisecond


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify=none.onnx",), "error: none.onnx does not exist; give an exported .onnx file"),
        (("verify=none.onnx", "audio=x.wav"), "error: verify= tries a graph on its own signals"),
        (("verify=none.onnx", "verify_minutes=-1"), "error: verify_minutes=-1 is out of range"),
        (("verify=none.onnx", "verify_blocks=many"), "error: verify_blocks=many must be a whole number"),
    ],
)
def test_script_says_in_one_line_what_the_user_can_repair(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    finished = run(tmp_path, *arguments)

    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1
