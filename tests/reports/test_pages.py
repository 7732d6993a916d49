"""What the pages hold, without a browser."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.corpus_tools import make_job, write_sounds
from tests.tools.report_tools import RATE, falling, speech, write_card, write_conversions, write_run
from utils.audio.compressed import encode_mp3
from utils.audio.io import load_audio
from utils.audio.synthetic_speech import voice
from utils.config.report import report_job
from utils.corpus import preprocess
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, FormatError
from utils.reports import pages
from utils.reports.dataset_plots import long_term_spectrum
from utils.reports.render import MOST_BYTES
from utils.reports.report import write_report
from utils.reports.sounds import Group, Sound, SoundMaker, fitting, spectrogram_png
from utils.training.listening import MOST_STATES, HeardSound, ListeningFolder

ROOT = Path(__file__).resolve().parents[2]


def sounds_of(page: Path) -> dict[str, str]:
    found = re.search(r'id="sounds">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    sounds: dict[str, str] = json.loads(found[1])
    return sounds


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_sounds(folder / "source", {f"{index}.wav": speech(1.5, 120 + 10 * index) for index in range(4)}, RATE)
    preprocess(make_job(folder / "source", folder / "datasets" / "alice"))
    return folder / "datasets" / "alice"


def test_the_page_of_a_dataset_shows_its_plots_and_the_clips_that_stand_out(dataset: Path) -> None:
    (dataset / "doctor.json").write_text(
        json.dumps(
            {
                "verdicts": {"alice": "thin"},
                "plan": ["alice: thin, record more"],
                "findings": [
                    {"rule": "hum", "subject": "<i>", "words": "at 50 Hz", "remedy": "filter it", "leave_out": True}
                ],
                "leave_out": ["1.wav"],
                "missing": ["no speaker network"],
            }
        ),
        encoding="utf-8",
    )

    written = write_report(report_job([f"dataset={dataset}"]))

    text = written.place.read_text("utf-8")
    for words in (
        "Length of the clips",
        "Level of the frames",
        "Pitch of the voiced",
        "Spectrum",
        "would leave it out",
        "record more",
        "no speaker network",
        "filter it",
    ):
        assert words in text
    assert "&lt;i&gt;" in text and "<i>" not in text
    assert written.verdict.startswith("Thin: 0.1 minutes")
    assert len(sounds_of(written.place)) >= 2


def test_a_doctor_that_wrote_nonsense_is_left_out(dataset: Path, tmp_path: Path) -> None:
    (dataset / "doctor.json").write_text("[1]", encoding="utf-8")

    assert "Are the recordings good?" not in write_report(
        report_job([f"dataset={dataset}", f"output={tmp_path / 'a.html'}"])
    ).place.read_text("utf-8")


@pytest.mark.slow
def test_an_upsampled_recording_does_not_reach_the_upper_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(3 * 16000)
    full = np.concatenate([voice(1.0), noise]).astype(np.float32)
    telephone = np.fft.irfft(np.where(np.fft.rfftfreq(len(full), 1 / 16000) < 4000, np.fft.rfft(full), 0))
    widths = []
    for name, sound in (("full", full), ("telephone", telephone)):
        write_sounds(tmp_path / name, {"a.wav": sound, "b.wav": sound[::-1]}, 16000)
        preprocess(make_job(tmp_path / name, tmp_path / "datasets" / name))
        widths.append(long_term_spectrum(CorpusStore.open(tmp_path / "datasets" / name)))

    assert widths[0].is_full and widths[0].bandwidth_hz > 7500
    assert not widths[1].is_full and 3800 < widths[1].bandwidth_hz < 4300


def test_the_page_of_a_run_lets_its_states_be_heard(tmp_path: Path) -> None:
    run = write_run(tmp_path / "alice", falling(6), num_states=3)

    written = write_report(report_job([f"run={run}"]))

    text = written.place.read_text("utf-8")
    assert written.place == run / "report.html"
    assert len(sounds_of(written.place)) == 8
    assert "recorded" in text and "step 1500" in text
    assert "its recordings are not shown" in text  # there is no dataset
    assert not re.search('(src|href)="(?!data:|#)', text)  # nothing is loaded


def test_a_run_without_anything_has_a_page_too(tmp_path: Path) -> None:
    written = write_report(report_job([f"run={write_run(tmp_path / 'alice', [])}"]))

    assert written.verdict.startswith("The training has begun")


@pytest.mark.slow
def test_the_page_of_an_export_shows_each_rule_in_its_colour(tmp_path: Path) -> None:
    export = write_card(tmp_path / "alice", ("PASS", "WARN", "FAIL", "SKIP"))
    sources, converted, target = write_conversions(tmp_path)

    written = write_report(
        report_job([f"voice={export}", f"sources={sources}", f"converted={converted}", f"target={target}"])
    )

    text = written.place.read_text("utf-8")
    for tone, word in (("good", "PASS"), ("warn", "WARN"), ("bad", "FAIL"), ("none", "SKIP")):
        assert f'badge {tone}">{word}' in text
    assert "&lt;b&gt;what was found&lt;/b&gt;" in text
    assert len(sounds_of(written.place)) == 6
    assert text.count('class="pitch source"') >= 2


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["run={0}"], "holds no readable config.yaml; give a folder that train.py made"),
        (["voice={0}"], "holds no readable card.json; give the folder that export_onnx.py made"),
        (["run={0}", "dataset={0}"], "are two pages; give one of run, dataset, voice"),
        ([], "run is missing"),
        (["voice={0}", "converted={0}"], "converted= needs sources="),
        (["dataset={0}", "evaluation={0}/a.json"], "evaluation does nothing with dataset="),
        (["voice={1}", "evaluation={0}/a.json"], "is no evaluation"),
        (["run={0}", "output={0}"], "is a folder; give the name of a file"),
    ],
)
def test_what_is_wrong_is_one_line(overrides: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    card = write_card(tmp_path / "card")

    with pytest.raises(ConfigError, match=re.escape(words)):
        write_report(report_job([item.format(tmp_path / "empty", card) for item in overrides]))


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is no dataset"):
        write_report(report_job([f"dataset={tmp_path}"]))


def test_damaged_settings_of_a_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: [1", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"no readable config\.yaml"):
        pages.run_config(tmp_path)


def test_sounds_that_do_not_fit_are_left_out_and_counted() -> None:
    groups = [Group(str(index), [Sound("a", "target", "s", "x" * 400, 1.0)]) for index in range(4)]

    kept, left_out = fitting(groups, 1000)

    assert ([group.title for group in kept], left_out) == (["0", "1"], 2)
    assert MOST_BYTES == 15_000_000


def test_mp3_keeps_length_place_and_sound(tmp_path: Path) -> None:
    audio = speech(1.2, 150)
    (tmp_path / "a.mp3").write_bytes(encode_mp3(audio, RATE))

    read = load_audio(tmp_path / "a.mp3", RATE)[: len(audio)]

    assert abs(len(read) - len(audio)) < 1152
    assert np.corrcoef(read, audio[: len(read)])[0, 1] > 0.98
    with soundfile.SoundFile(io.BytesIO(encode_mp3(np.zeros(0, np.float32), 22050))) as file:
        assert file.samplerate == 24000


def test_a_spectrogram_shows_a_tone_at_its_height() -> None:
    from PIL import Image

    time_axis = np.arange(16000) / 16000
    picture = Image.open(io.BytesIO(spectrogram_png(np.sin(2 * np.pi * 1000 * time_axis).astype(np.float32), 16000)))
    values = np.asarray(picture)

    brightest = np.bincount(values.argmax(axis=0)).argmax()
    assert brightest / len(values) == pytest.approx(1 - np.log(1000 / 60) / np.log(8000 / 60), abs=0.03)


def test_a_clip_keeps_its_first_best_and_newest_states(tmp_path: Path) -> None:
    folder = ListeningFolder(tmp_path)
    for step in range(100, 100 * (MOST_STATES + 6), 100):
        sounds = [HeardSound("converted", step, np.zeros(2400, np.float32), RATE)]
        folder.add("clip", "Clip", "held_out", sounds, best_step=200)
    steps = [state.step for state in folder.clips()[0].states]

    folder.restart(500)

    assert 200 in steps  # the best one, which is an odd one out
    assert len(steps) <= MOST_STATES and steps[0] == 100 and steps[-1] == 100 * (MOST_STATES + 5)
    left = folder.clips()[0].states
    assert all(state.step is not None and state.step <= 500 for state in left)
    assert sorted(path.name for path in folder.folder.glob("*.mp3")) == sorted(state.file for state in left)


def test_a_damaged_index_of_sounds_is_no_error(tmp_path: Path) -> None:
    folder = ListeningFolder(tmp_path)
    folder.folder.mkdir()
    (folder.folder / "listening.json").write_text('{"clips": 1', encoding="utf-8")

    assert folder.clips() == []


def test_a_sound_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    folder = ListeningFolder(tmp_path / "run")
    folder.folder.mkdir(parents=True)
    row = {
        "name": "a",
        "title": "a",
        "kind": "held_out",
        "states": [{"file": "../../x.mp3", "role": "target", "step": None}],
    }
    (folder.folder / "listening.json").write_text(json.dumps({"clips": [row]}), encoding="utf-8")

    assert folder.clips()[0].states[0].file == "x.mp3"


@pytest.mark.slow
def test_a_page_is_made_without_pytorch(tmp_path: Path) -> None:
    run = write_run(tmp_path / "alice", falling(6), num_states=1)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'pytorch_lightning']));"
        "from utils.reports.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )

    done = subprocess.run([sys.executable, "-c", code, run], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "report.html").is_file()


@pytest.mark.slow
def test_a_page_of_fifty_validations_is_small_and_made_in_ten_seconds(tmp_path: Path) -> None:
    run = write_run(tmp_path / "alice", falling(50), num_states=MOST_STATES, seconds=6.0)
    started = time.perf_counter()

    written = write_report(report_job([f"run={run}"]))

    assert time.perf_counter() - started < 10
    assert written.num_bytes < MOST_BYTES
    assert SoundMaker().with_pictures


@pytest.mark.parametrize(
    "card", ['{"voice": 5}', '{"files": 5}', '{"verification": {"a": 5}}', '{"voice": {"metrics": {"a": "x"}}}']
)
def test_a_made_up_card_is_one_line(card: str, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(card, "utf-8")

    with pytest.raises(ConfigError, match=r"holds no readable card\.json"):
        write_report(report_job([f"voice={tmp_path}"]))
