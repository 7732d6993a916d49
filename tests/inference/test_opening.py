"""From whatever a voice is kept in to a graph: exported once, by export_onnx.py in its own process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tools.planted_graphs import NAME, write
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
from utils.config.test_model import convert_job
from utils.errors import ConfigError, FormatError
from utils.inference import VoiceConversionPipeline, opening
from utils.inference.errors import VoiceLoadError
from utils.inference.opening import graph_of
from utils.inference.trial import run_trial

# what export_onnx.py does, as far as its caller sees it: a line for each call, a graph and a card in <root>/<name>
EXPORTER = """
import json, pathlib, shutil, sys
given = dict(item.split("=", 1) for item in sys.argv[1:])
with open({calls!r}, "a") as stream:
    stream.write(json.dumps(given) + "\\n")
if given.get("content") == "wrong":
    sys.exit("error: content=wrong is no option")
if given.get("voice", "").endswith("damaged.pth"):
    sys.exit("a warning\\nerror: it is damaged\\nType: another command")
folder = pathlib.Path(given["export.root"], given["name"])
folder.mkdir()
shutil.copy({graph!r}, folder / "{name}_sr8000_hop80_nfft320.onnx".format(name=given["name"]))
(folder / "card.json").write_text("{{}}")
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which each export leaves a line; a run `bob` and a file bob.pth are beside it."""
    calls, program = tmp_path / "calls", tmp_path / "export.py"
    (tmp_path / "planted").mkdir()
    graph = write(tmp_path / "planted")
    program.write_text(EXPORTER.replace("{name}", "{{name}}").format(calls=str(calls), graph=str(graph)))
    monkeypatch.setattr(opening, "EXPORTER", program)
    (tmp_path / "bob" / "checkpoints").mkdir(parents=True)
    (tmp_path / "bob" / "config.yaml").write_text("a: 1")
    for name in ("best", "last", "previous"):
        (tmp_path / "bob" / "checkpoints" / f"{name}.ckpt").write_text(name)
    (tmp_path / "bob.pth").write_text("weights")
    return calls


def num_calls(calls: Path) -> int:
    return len(calls.read_text().splitlines()) if calls.exists() else 0


def test_run_is_exported_once_for_each_content(tmp_path: Path, calls: Path) -> None:
    cache = tmp_path / "cache"

    first = graph_of(tmp_path / "bob", cache=cache)
    again = graph_of(tmp_path / "bob", cache=cache)
    last = graph_of(tmp_path / "bob" / "checkpoints" / "last.ckpt", cache=cache)
    (tmp_path / "bob" / "checkpoints" / "best.ckpt").write_text("trained on")
    later = graph_of(tmp_path / "bob", cache=cache)

    assert first == again and first.name == "bob_sr8000_hop80_nfft320.onnx"
    assert len({first, last, later}) == 3
    assert num_calls(calls) == 3
    assert '"checkpoint": "last"' in calls.read_text()
    assert sorted(path.name for path in first.parent.iterdir()) == [first.name, "card.json"]
    assert not [path for path in cache.iterdir() if path.name.startswith(".")]


def test_graphs_that_were_not_used_for_longest_make_room(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    states = {name: tmp_path / "bob" / "checkpoints" / f"{name}.ckpt" for name in ("best", "last", "previous")}
    kept = {name: graph_of(path, cache=cache) for name, path in states.items()}
    (cache / "notes").mkdir()  # of somebody else
    (cache / ".export.killed").mkdir()
    for age, name in enumerate(("last", "best", "previous", ".export.killed"), start=1):
        days_ago = time.time() - 2 * 86_400 * age
        os.utime(kept[name].parent if name in kept else cache / name, (days_ago, days_ago))
    monkeypatch.setattr(opening, "CACHE_BYTES", 2 * kept["best"].stat().st_size + 10)

    graph_of(states["best"], cache=cache)

    assert {name for name, path in kept.items() if path.exists()} == {"best", "last"}
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {
        "notes", kept["best"].parent.name, kept["last"].parent.name,
    }  # fmt: skip


def test_graph_that_was_used_a_moment_ago_stays_whatever_the_size(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "CACHE_BYTES", 0)

    best = graph_of(tmp_path / "bob", cache=tmp_path / "cache")
    last = graph_of(tmp_path / "bob" / "checkpoints" / "last.ckpt", cache=tmp_path / "cache")

    assert best.exists() and last.exists()


def test_file_of_rvc_is_exported_with_its_options_and_index(tmp_path: Path, calls: Path) -> None:
    (tmp_path / "bob.index").write_text("index")
    options = ["content=contentvec", "content.path=hubert_base.pt"]

    graph_of(tmp_path / "bob.pth", cache=tmp_path / "cache", options=options, index=tmp_path / "bob.index")
    graph_of(tmp_path / "bob.pth", cache=tmp_path / "cache", options=options)

    said = calls.read_text()
    assert num_calls(calls) == 2
    assert f'"voice": "{tmp_path / "bob.pth"}"' in said and '"content": "contentvec"' in said
    assert f'"index": "{tmp_path / "bob.index"}"' in said.splitlines()[0]


def test_pipeline_opens_a_run(tmp_path: Path, calls: Path) -> None:
    with VoiceConversionPipeline(tmp_path / "bob", cache=tmp_path / "cache") as pipeline:
        assert pipeline.sample_rate == 8000
    assert num_calls(calls) == 1


def test_export_that_fails_is_one_line_and_leaves_nothing(tmp_path: Path, calls: Path) -> None:
    path = tmp_path / "bob.pth"
    with pytest.raises(VoiceLoadError, match=r"bob\.pth cannot be exported: content=wrong is no option") as caught:
        VoiceConversionPipeline(path, cache=tmp_path / "cache", export_options=["content=wrong"])

    assert caught.value.hint == (
        f"python export_onnx.py voice={path} <what is missing>, then give exports/bob in its place"
    )
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_a_damaged_file_is_named_and_no_way_around_it_is_offered(tmp_path: Path, calls: Path) -> None:
    (tmp_path / "damaged.pth").write_text("weights")

    with pytest.raises(ConfigError, match=r"cannot be exported: it is damaged$") as caught:
        graph_of(tmp_path / "damaged.pth", cache=tmp_path / "cache")

    assert caught.value.hint == ""


def test_graph_is_taken_as_it_is(tmp_path: Path) -> None:
    graph = write(tmp_path)
    (tmp_path / NAME.replace(".onnx", "_stream.onnx")).touch()

    assert graph_of(graph) == graph_of(tmp_path) == graph
    with pytest.raises(ConfigError, match="is exported already"):
        graph_of(graph, options=["content=contentvec"])
    with pytest.raises(FormatError, match="is no voice"):
        (tmp_path / "x.ckpt").touch()
        graph_of(tmp_path / "x.ckpt")


def test_opening_a_graph_imports_no_torch(tmp_path: Path) -> None:
    graph = write(tmp_path)
    program = (
        "import sys; from utils.inference import VoiceConversionPipeline as Pipeline; "
        f"Pipeline({str(graph)!r}); print('torch' in sys.modules, 'av' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]


def test_recordings_are_converted_with_a_saved_state(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(opening.CACHE_VARIABLE, str(tmp_path / "cache"))
    save_audio(tmp_path / "song.wav", voice(1.0, 8000), 8000)
    settings = [f"audio={tmp_path / 'song.wav'}", f"output={tmp_path / 'made.wav'}", "threads=1"]

    for state in ("last", "last", "previous"):
        said: list[str] = []
        report = run_trial(
            convert_job([f"onnx={tmp_path / 'bob' / 'checkpoints' / state}.ckpt", *settings]), said.append
        )

    assert [Path(row["output"]).name for row in report["files"]] == ["made.wav"] and "exporting it" in said[0]
    assert num_calls(calls) == 2
    assert '"checkpoint": "previous"' in calls.read_text()
