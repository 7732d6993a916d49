"""The report over a folder of converted files, with evaluators of our own."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from utils.audio.listing import list_audio, spread
from utils.errors import DataError, WorkbenchError
from utils.evaluation import report, speaker_networks
from utils.evaluation.evaluation import Evaluation, evaluate
from utils.evaluation.evaluators import DEFAULT_EVALUATORS, Evaluators, load_evaluators
from utils.evaluation.optional_packages import MissingEvaluatorError
from utils.evaluation.remembering import Memory, RememberingRecognizer, RememberingSpeaker
from utils.evaluation.report import main, render

RATE = 16000


class LevelEvaluator:
    """An "embedding" that tells low from high: energy of the sum and of the difference of neighbours."""

    def embed(self, audio: np.ndarray) -> np.ndarray:
        return np.array([np.square(audio[1:] + audio[:-1]).sum(), np.square(np.diff(audio)).sum()])


class LengthRecognizer:
    """Writes one letter for each tenth of a second."""

    def transcribe(self, audio: np.ndarray) -> str:
        return "a" * (len(audio) // 1600)


class HalfScore:
    def score(self, audio: np.ndarray) -> float:
        return 2.5


def write_tone(path: Path, frequency: float, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(RATE * seconds)) / RATE
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * frequency * time), RATE)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    write_tone(tmp_path / "sources/a.wav", 200)
    write_tone(tmp_path / "sources/b.wav", 220)
    write_tone(tmp_path / "converted/a.wav", 6000, 0.9)
    write_tone(tmp_path / "converted/b.wav", 6100)
    write_tone(tmp_path / "target/t.wav", 6000)
    return tmp_path


def stand_in_evaluators() -> Evaluators:
    return Evaluators(
        {"level": LevelEvaluator()}, {"length": LengthRecognizer()}, {"half": HalfScore()}, {"ecapa": "pip ..."}
    )


def evaluated(folder: Path) -> Evaluation:
    sources, target = list_audio(folder / "sources"), list_audio(folder / "target")
    return evaluate(folder / "converted", sources, target, stand_in_evaluators())


def evaluated_below(folder: Path) -> Evaluation:
    target = write_tone(folder / "target/t.wav", 6000)
    sources = folder / "sources"
    return evaluate(folder / "converted", list_audio(sources), [target], stand_in_evaluators(), below=sources)


def test_a_source_of_several_voices_is_transcribed_once() -> None:
    lengths: list[int] = []

    class Counting(LengthRecognizer):
        def transcribe(self, audio: np.ndarray) -> str:
            lengths.append(len(audio))
            return super().transcribe(audio)

    recognizer = RememberingRecognizer("counting", Counting(), Memory())
    sound = np.linspace(-1, 1, 3200, dtype=np.float32)
    texts = [recognizer.transcribe(audio) for audio in (sound, sound.copy(), -sound, sound[1600:])]

    assert texts == ["aa", "aa", "aa", "a"]
    assert lengths == [3200, 3200, 1600]


def test_what_was_heard_outlives_the_process_bit_for_bit() -> None:
    class Thirds:
        def embed(self, audio: np.ndarray) -> np.ndarray:
            return np.asarray(audio[:3] / 3, np.float32)

    memory, sound = Memory(), np.array([0.1, -0.7, 1.0, 0.2], np.float32)
    fresh = RememberingSpeaker("thirds", Thirds(), memory).embed(sound)
    RememberingSpeaker("thirds", Thirds(), memory).embed(-sound)

    kept = json.loads(json.dumps(memory.of_sounds([sound])))

    assert len(kept) == 1
    again = RememberingSpeaker("thirds", Thirds(), Memory(kept)).embed(sound)
    assert again.dtype == np.float32 and np.array_equal(again, fresh) and np.array_equal(fresh, Thirds().embed(sound))


def test_report_pairs_files_by_name_and_averages(folders: Path) -> None:
    result = evaluated(folders)

    assert [row["file"] for row in result.files] == ["a", "b"]
    assert result.means["level_converted_to_target"] == pytest.approx(1.0, abs=0.01)
    assert result.means["level_target_own"] == pytest.approx(1.0)
    assert (result.means["level_source_to_target"] or 0) < 0.9
    assert result.means["length_character_error"] == pytest.approx(1 / 20)  # one letter of twenty is missing
    assert result.means["half_converted"] == 2.5
    assert result.means["identical_files"] == 0


def test_of_some_sources_only_the_words_are_evaluated(folders: Path) -> None:
    sources = list_audio(folders / "sources")

    result = evaluate(
        folders / "converted", sources, list_audio(folders / "target"), stand_in_evaluators(), words_only=sources[1:]
    )

    assert result.means["length_character_error"] == pytest.approx(1 / 20)  # of both
    first, second = result.files
    assert result.means["level_converted_to_target"] == first["level_converted_to_target"]
    assert "mean of 1 files, words of 2" in render(result)
    assert set(second) == {"file", "seconds"} | {key for key in first if key.startswith("length_")}


def test_an_unconverted_copy_is_counted(folders: Path) -> None:
    copy = folders / "sources"

    result = evaluate(copy, list_audio(folders / "sources"), list_audio(folders / "target"), stand_in_evaluators())

    assert result.means["identical_files"] == 2


def test_missing_evaluator_stands_in_the_table_with_its_command(folders: Path) -> None:
    result = evaluated(folders)

    assert "ecapa: not installed" in render(result)
    assert "pip ..." in render(result)


def test_source_without_converted_file_is_named(folders: Path) -> None:
    (folders / "converted/b.wav").unlink()

    with pytest.raises(DataError, match=r"b\.wav"):
        evaluate(
            folders / "converted",
            list_audio(folders / "sources"),
            list_audio(folders / "target"),
            stand_in_evaluators(),
        )


def test_files_of_sub_folders_belong_to_the_source_at_their_place(tmp_path: Path) -> None:
    for name, frequency in (("anna", 200), ("bert", 300)):
        write_tone(tmp_path / "sources" / name / "001.wav", frequency)
    write_tone(tmp_path / "converted/anna/001.wav", 200)  # not converted at all
    write_tone(tmp_path / "converted/bert/001.wav", 6000)

    result = evaluated_below(tmp_path)

    assert [(row["file"], row["identical"]) for row in result.files] == [("anna/001", True), ("bert/001", False)]
    assert result.left_out == []


def test_sources_without_converted_file_are_left_out_by_name(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "converted/b.wav").unlink()
    monkeypatch.setattr(report, "load_evaluators", lambda names, **options: stand_in_evaluators())
    options = [f"--{name}={folders / name}" for name in ("converted", "sources", "target")]

    code = main([*options, f"--json={folders / 'figures.json'}"])

    absent = folders / "sources/b.wav"
    assert code == 0
    assert f"left out, without a converted file: 1 sources ({absent})" in capsys.readouterr().out
    result = json.loads((folders / "figures.json").read_text(encoding="utf-8"))
    assert result["left_out"] == [str(absent)]
    assert [row["file"] for row in result["files"]] == ["a"]


def test_names_that_test_model_made_distinct_find_their_sources(tmp_path: Path) -> None:
    for name, frequency in (("x.flac", 200), ("x.wav", 300), ("y.wav", 400)):
        write_tone(tmp_path / "sources" / name, frequency)
    write_tone(tmp_path / "converted/x.flac.wav", 200)
    write_tone(tmp_path / "converted/x.wav.wav", 6000)
    write_tone(tmp_path / "converted/y.wav", 400)

    result = evaluated_below(tmp_path)

    found = {row["file"]: row["identical"] for row in result.files}
    assert found == {"x.flac": True, "x.wav": False, "y": True}


@pytest.mark.parametrize(
    ("sources", "converted", "message"),
    [
        (["x.flac", "x.wav"], ["x.wav"], r"x\.wav may be of x\.flac or of another source of that name; rename one"),
        (["x.wav"], ["x.wav", "x.flac"], r"x\.wav has 2 converted files: .*x\.flac, .*x\.wav; leave one of them"),
    ],
)
def test_files_that_may_belong_to_several_are_refused(
    tmp_path: Path, sources: list[str], converted: list[str], message: str
) -> None:
    for name in sources:
        write_tone(tmp_path / "sources" / name, 200)
    for name in converted:
        write_tone(tmp_path / "converted" / name, 6000)

    with pytest.raises(DataError, match=message) as caught:
        evaluated_below(tmp_path)

    assert "\n" not in str(caught.value)


def test_sources_of_one_name_are_refused_where_names_alone_count(folders: Path) -> None:
    sources = [write_tone(folders / name / "a.wav", 200) for name in ("anna", "bert")]

    with pytest.raises(DataError, match=r"anna/a\.wav, .*bert/a\.wav have one name, a\.wav; rename one"):
        evaluate(folders / "converted", sources, list_audio(folders / "target"), stand_in_evaluators())


def test_absent_package_becomes_a_missing_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> Path:
        raise MissingEvaluatorError(f"pip install {module}")

    monkeypatch.setattr(speaker_networks, "package_folder", absent)

    found = load_evaluators(("resemblyzer", "distillmos"))

    assert not found.speakers
    assert found.missing == {"resemblyzer": "pip install resemblyzer", "distillmos": "pip install xls_r_sqa"}


def test_unknown_evaluator_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="unknown evaluator 'ear'"):
        load_evaluators(("ear",))


def test_empty_folder_ends_with_code_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            "--converted",
            str(tmp_path),
            "--sources",
            str(tmp_path),
            "--target",
            str(tmp_path),
            "--evaluators",
            "resemblyzer",
        ]
    )

    assert code == 2
    assert "no recordings in" in capsys.readouterr().err


def test_the_old_name_of_the_option_works_and_says_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    folders = [f"--{name}=here" for name in ("converted", "sources", "target")]

    options = report.parse([*folders, "--judges=ecapa,whisper"])

    assert options.evaluators == ("ecapa", "whisper")
    assert capsys.readouterr().err == "--judges is now called --evaluators\n"
    assert report.parse(folders).evaluators == DEFAULT_EVALUATORS
    assert "judges" not in capsys.readouterr().err


def test_spread_takes_first_and_last() -> None:
    items = [Path(str(number)) for number in range(10)]

    assert [path.name for path in spread(items, 4)] == ["0", "3", "6", "9"]
    assert spread(items, 20) == items


@pytest.mark.slow
def test_resemblyzer_tells_a_low_voice_from_a_high_one_better_than_itself() -> None:
    evaluator = load_evaluators(("resemblyzer",)).speakers["resemblyzer"]
    rng = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    low = sum(np.sin(2 * np.pi * 110 * k * time) / k for k in range(1, 20))
    high = sum(np.sin(2 * np.pi * 230 * k * time) / k for k in range(1, 20))
    low_again = 0.1 * low + 0.001 * rng.standard_normal(len(time))

    first, second, third = (evaluator.embed(np.asarray(0.1 * x, np.float32)) for x in (low, low_again * 10, high))

    assert first @ second > first @ third


def run_report(folders: Path, monkeypatch: pytest.MonkeyPatch, evaluators: Evaluators | None = None) -> int:
    monkeypatch.setattr(report, "load_evaluators", lambda names, **options: evaluators or stand_in_evaluators())
    options = [f"--{name}={folders / name}" for name in ("converted", "sources", "target")]
    return main([*options, f"--json={folders / 'figures.json'}"])


@pytest.mark.parametrize("place", ["sources/b.wav", "converted/b.wav", "target/u.wav"])
def test_file_that_cannot_be_read_is_named_and_the_rest_is_evaluated(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (folders / place).write_text("no sound")

    code = run_report(folders, monkeypatch)

    printed = capsys.readouterr()
    assert code == 2
    assert "not a sound file" in next(line for line in printed.out.splitlines() if line.startswith("FAILED"))
    assert printed.err.startswith("error: 1 file(s) could not be evaluated: ")
    result = json.loads((folders / "figures.json").read_text(encoding="utf-8"))
    assert [row["file"] for row in result["files"]] == (["a", "b"] if place.startswith("target") else ["a"])
    assert place in result["failures"][0]["reason"]


def test_file_that_an_evaluator_cannot_take_is_named(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Picky(HalfScore):
        def score(self, audio: np.ndarray) -> float:
            if len(audio) < RATE:
                raise RuntimeError("Kernel size can't be greater\nthan the input")
            return super().score(audio)

    evaluators = stand_in_evaluators()
    evaluators.naturalness["half"] = Picky()  # the converted a.wav is shorter

    code = run_report(folders, monkeypatch, evaluators)

    assert code == 2
    assert "a.wav: RuntimeError: Kernel size can't be greater\n" in capsys.readouterr().out


def test_figure_that_is_no_number_is_a_failure_of_its_file(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(folders / "converted/b.wav", np.zeros(RATE, np.float32), RATE)

    class Plain(LevelEvaluator):
        def embed(self, audio: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore"):
                embedding = super().embed(audio)
                return embedding / np.linalg.norm(embedding)

    evaluators = stand_in_evaluators()
    evaluators.speakers["level"] = Plain()

    code = run_report(folders, monkeypatch, evaluators)

    assert code == 2
    result = json.loads((folders / "figures.json").read_text(encoding="utf-8"))
    assert "is no number, as of silence" in result["failures"][0]["reason"]
    assert [row["file"] for row in result["files"]] == ["a"]


def test_nothing_that_can_be_evaluated_is_one_line(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (folders / f"converted/{name}.wav").write_text("no sound")

    assert run_report(folders, monkeypatch) == 2
    assert capsys.readouterr().err.startswith("error: no converted file can be evaluated: ")
