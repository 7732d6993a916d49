"""A mistyped command line is one line that says what was meant, and exit code 2."""

import sys

import pytest

from utils.config import run_script
from utils.config.names import check_folder_name
from utils.config.roots import JOBS
from utils.config.suggestions import closest
from utils.errors import ConfigError


def refusal(
    config_name: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What a script says about a command line; its task must not begin."""
    monkeypatch.setattr(sys, "argv", [f"{config_name}.py", *words])
    with pytest.raises(SystemExit) as caught:
        run_script(JOBS[config_name], lambda job: pytest.fail(f"{words} was taken"))
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert said.startswith("error: ") and said.count("\n") == 1, said
    return said


CASES = (
    ("train", "trainer.step=3", "trainer.step is no key of train.py; did you mean trainer.steps=3?"),
    ("train", "trainer.steps", "'trainer.steps' is no key=value; did you mean trainer.steps=...?"),
    ("train", "audio=48000", "did you mean audio=48k?"),
    ("train", "pretrained=3", "pretrained=3 is no option; allowed: builtin, none"),
    ("train", "trainer.steps=${nope}", "trainer.steps=${nope} cannot be read: there is no key nope"),
    ("train", "trainer.steps=${trainer.steps}", "cannot be read: it is made of itself"),
    ("train", "seed=1,2", "seed=1,2 has several values; type one of them, or -m in front"),
    ("train", "dataset=alice", "dataset=alice must be a section of keys, such as dataset.name, dataset.root"),
    ("train", "--resolve", "--resolve needs --cfg job"),
    ("train", "--trainer.steps=3", "keys are typed without dashes: key=value; did you mean trainer.steps=3?"),
    ("train", "--multi", "did you mean --multirun?"),
    ("train", "--cfg", "--cfg is not possible; allowed: job, hydra, all"),
    ("train", "=3", "'=3' has no key"),
    ("preprocess", "preprocess.content_speeds.sub=1", "did you mean preprocess.content_speeds=1?"),
    ("test_model", "report=${trainer}", "report=${trainer} cannot be read: there is no key trainer"),
    ("test_model", "pitch=12", "did you mean pitch_shift=12?"),
)
FURTHER = (
    ("train", "steps=3", "did you mean trainer.steps=3?"),
    ("train", "optim.lr=1e-3", "did you mean optim.optimizer.lr=1e-3?"),
    ("train", "audio=48000", "audio=48000 is no option; allowed: 16k, 24k"),
    ("train", "model=lit", "did you mean lite?"),
    ("train", "pretrained=true", "pretrained=true is no option; allowed: builtin, none"),
    ("train", "trainer.steps=${trainer.step}", "there is no key trainer.step; did you mean trainer.steps?"),
    ("train", "trainer.steps=${oc.nope:1}", "trainer.steps=${oc.nope:1} cannot be read: "),
    ("train", "trainer.steps=[1", "trainer.steps=[1 must be a whole number"),
    ("train", "hydra.jib.name=x", "hydra.jib.name is no key of train.py; did you mean hydra.job.name=x?"),
    ("train", "hydra/launcher=slrm", "slrm"),
    ("preprocess", "dataset.sources=x", "did you mean dataset.source=x?"),
    ("export", "licence.x=1", "licence.x is no key of export_onnx.py"),
    ("export", "export.rate=[48000]", "did you mean export.rates=[48000]?"),
    ("test_model", "verify=${nope}", "verify=${nope} cannot be read: there is no key nope"),
)


@pytest.mark.parametrize(
    ("config_name", "words", "expected"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in FURTHER)]
)
def test_what_was_meant_is_said_in_one_line(
    config_name: str, words: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(config_name, [words], monkeypatch, capsys)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("trainer.step", "trainer.steps"), ("LR", "optim.optimizer.lr"), ("seeed", "seed"), ("zzz", ""), ("x.y", "")],
)
def test_the_nearest_key_is_suggested(typed: str, meant: str) -> None:
    assert closest(typed, ["trainer.steps", "seed", "optim.optimizer.lr", "trainer.log_every"]) == meant


OUTSIDE = (
    "..",
    "../x",
    "/x",
    "a/../../b",
    "a//b",
    "a\\b",
    "",
    " a",
    "a.",
    "CON",
    "nul.txt",
    "a\nb",
    "é" * 76,
    ".hidden",
)


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("below", [False, True])
def test_a_name_cannot_leave_its_folder(name: str, below: bool) -> None:
    with pytest.raises(ConfigError, match=r"^run\.name=.* must be a plain name, .*; allowed are") as caught:
        check_folder_name(name, "run.name", below=below)

    assert "\n" not in str(caught.value)


def test_names_of_people_are_taken() -> None:
    for name in ("録音", "Žofie (2)", "alice, the 2nd", "a=b", "it's", "[x]", "console", "com"):
        check_folder_name(name, "dataset.name")
    check_folder_name("trials/alice 2", "run.name", below=True)
    with pytest.raises(ConfigError):
        check_folder_name("a/b", "dataset.name")


@pytest.mark.parametrize(
    ("config_name", "word"),
    [("train", "run.name=../x"), ("train", "dataset.name=/x"), ("preprocess", "dataset.name=a/b")],
)
def test_scripts_refuse_a_name_that_leads_elsewhere(
    config_name: str, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "must be a plain name" in refusal(config_name, [word], monkeypatch, capsys)


@pytest.mark.parametrize("config_name", ("cover", "live", "report", "say"))
def test_a_script_without_words_says_what_to_type_in_a_line_of_its_own(
    config_name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{config_name}.py"])
    with pytest.raises(SystemExit) as caught:
        run_script(JOBS[config_name], lambda job: pytest.fail("it was begun"))

    said = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert said[0].startswith("error: ") and "\\n" not in said[0]
    assert len(said) == 2 and said[1].startswith("Type: python ")
