"""What the library shows of a disk, and what it does to it."""

import errno
import json
import os
from pathlib import Path

import pytest
import yaml

from studio.jobs import Job
from studio.library import Library
from studio.manifests import Kind
from tests.tools.report_tools import CONFIG, falling, write_card, write_run
from utils.errors import ConfigError, DataError

SPEAKER = {"name": "alice", "minutes": 3.25, "files": 5, "clips": 7}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Return a library of one item of each kind but imports."""
    dataset = tmp_path / "datasets" / "alice"
    dataset.mkdir(parents=True)
    content = {"speakers": [SPEAKER], "audio": {"sample_rate": 24000}, "source": "recordings"}
    (dataset / "dataset.json").write_text(json.dumps(content), "utf-8")
    (dataset / "doctor.json").write_text(json.dumps({"verdicts": {"alice": "enough"}}), "utf-8")
    run = write_run(tmp_path / "runs" / "alice", falling(2))
    figures = {"steps": 1000, "seconds": 90.0, "best": {"step": 500, "val/mel": 0.41234567}, "last": {}}
    (run / "metrics.json").write_text(json.dumps(figures), "utf-8")
    write_card(tmp_path / "exports" / "alice")
    return Library(tmp_path)


def job(*arguments: str, state: str = "running") -> Job:
    return Job(
        id="1", arguments=("train.py", *arguments), title="Alice", device="cpu", folder=Path(), state=state,  # type: ignore[arg-type]
        submitted=0.0,
    )  # fmt: skip


def test_items_say_what_their_own_files_say(library: Library) -> None:
    (dataset,), (run,), (voice,) = (library.items(kind) for kind in ("dataset", "run", "voice"))

    assert (dataset.name, dataset.title, dataset.fault) == ("alice", "alice", "")
    assert dataset.facts["minutes"] == 3.25 and dataset.facts["doctor"] == "alice: enough"
    assert run.facts["model"] == "LiteVoice" and run.facts["dataset"] == "alice"
    assert (run.facts["steps"], run.facts["minutes trained"], run.facts["best held-out mel"]) == (1000, 1.5, 0.4123)
    assert "last held-out mel" not in run.facts
    assert voice.facts["verification"] == "2 passed, 1 with a warning"
    assert library.items("imported") == []
    assert library.size_bytes("dataset", "alice") > 100


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"speakers": 3}', "\ud800", '{"speakers": [{"minutes": "x"}]}', "[" * 100_000]
)
def test_a_damaged_manifest_is_a_line_beside_the_others(library: Library, tmp_path: Path, text: str) -> None:
    damaged = tmp_path / "datasets" / "bob"
    damaged.mkdir()
    (damaged / "dataset.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    found = {item.name: item for item in library.items("dataset")}

    assert "bob" in found["bob"].fault and "\n" not in found["bob"].fault
    assert found["bob"].facts == {}
    assert found["alice"].fault == ""


def test_a_run_whose_settings_unfold_into_a_bomb_is_not_unfolded(library: Library, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (tmp_path / "runs" / "alice" / "config.yaml").write_text("\n".join(lines), "utf-8")

    assert "aliases" in library.item("run", "alice").fault


def test_the_newest_comes_first_and_folders_of_folders_count(library: Library, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "trials" / "bob", falling(1))
    write_run(tmp_path / "runs" / ".hidden" / "x", falling(1))

    os.utime(tmp_path / "runs" / "alice" / "config.yaml", (1, 1))

    assert [item.name for item in library.items("run")] == ["trials/bob", "alice"]
    assert library.item("run", "trials/bob").folder == tmp_path / "runs" / "trials" / "bob"


def test_title_and_notes_are_kept_in_the_folder(library: Library, tmp_path: Path) -> None:
    library.rename("run", "alice", " Alice,\n second try ")
    noted = library.note("run", "alice", "breathy\nat the end")

    assert (noted.title, noted.notes) == ("Alice, second try", "breathy\nat the end")
    assert Library(tmp_path).item("run", "alice").title == "Alice, second try"
    assert library.rename("run", "alice", "").title == "alice"
    with pytest.raises(ConfigError, match="at most 100"):
        library.rename("run", "alice", "x" * 101)


@pytest.mark.parametrize("name", ["..", "../datasets/alice", "/etc", "", ".", "bob", ".bin"])
def test_names_that_lead_elsewhere_are_refused(library: Library, name: str) -> None:
    for ask in (library.item, library.size_bytes, library.delete):
        with pytest.raises(ConfigError):
            ask("run", name)
    with pytest.raises(ConfigError):
        library.rename("run", name, "x")


def test_two_runs_are_compared_by_facts_and_by_the_settings_that_differ(library: Library, tmp_path: Path) -> None:
    other = write_run(tmp_path / "runs" / "bob", falling(1))
    changed = {**CONFIG, "seed": 7, "logger": {"api_key": "k1"}}
    (other / "config.yaml").write_text(yaml.safe_dump(changed), "utf-8")

    rows = {row.label: row for row in library.compare("run", "alice", "bob")}

    assert (rows["seed"].first, rows["seed"].second) == ("1234", "7")
    assert "trainer.steps" not in rows
    assert not rows["model"].differs and rows["steps"].differs
    assert rows["logger.api_key"].second == "***"


@pytest.mark.parametrize("kind", ["dataset", "run", "voice"])
def test_what_is_deleted_waits_in_the_bin(library: Library, kind: Kind) -> None:
    library.note(kind, "alice", "mine")
    before = library.item(kind, "alice")

    binned = library.delete(kind, "alice")

    assert library.items(kind) == [] and library.bin() == [binned]
    assert library.restore(binned) == before
    assert library.bin() == []
    with pytest.raises(ConfigError, match="no longer in the bin"):
        library.restore(binned)
    library.delete(kind, "alice")
    assert library.empty_bin() == 1
    assert library.bin() == [] and library.items(kind) == []


def test_nothing_is_restored_over_another_item(library: Library, tmp_path: Path) -> None:
    binned = library.delete("run", "alice")
    write_run(tmp_path / "runs" / "alice", falling(1))

    with pytest.raises(ConfigError, match="is there again"):
        library.restore(binned)

    assert library.bin() == [binned]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("dataset", "dataset.name=alice"),
        ("run", "run.name=alice"),
        ("run", "run=runs/alice"),
        ("run", "run=runs/alice/"),
    ],
)
def test_what_a_job_names_stays(library: Library, kind: Kind, arguments: str) -> None:
    with pytest.raises(ConfigError, match="used by the job 'Alice'"):
        library.delete(kind, "alice", [job(arguments)])

    library.delete(kind, "alice", [job(arguments, state="done"), job("dataset.name=bob", "run.name=alice2")])


def test_what_a_script_has_locked_stays(library: Library, tmp_path: Path) -> None:
    from utils.locks import try_lock

    with (tmp_path / "runs" / "alice" / ".lock").open("w", encoding="utf-8") as stream:
        assert try_lock(stream)
        with pytest.raises(ConfigError, match="worked on by a script"):
            library.delete("run", "alice")

    library.delete("run", "alice")


def test_on_a_full_disk_nothing_is_lost(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    library.note("run", "alice", "kept")
    monkeypatch.setattr("utils.files.os.fsync", full)

    with pytest.raises(DataError, match="free some space"):
        library.note("run", "alice", "lost")
    with pytest.raises(DataError, match="free some space"):
        library.delete("run", "alice")

    assert library.item("run", "alice").notes == "kept"
    assert library.bin() == [] and not list((tmp_path / "runs" / ".bin").iterdir())
