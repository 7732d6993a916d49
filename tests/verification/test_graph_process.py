"""A graph that never ends, takes all memory or has an odd name or metadata is one line and no more."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.tools.planted_graphs import failed, node, write
from utils.errors import FormatError
from utils.inference import run_limit, session
from utils.inference.session import VoiceSession
from utils.verification import graph_process, rules
from utils.verification.candidate import Candidate, Extent
from utils.verification.graph_process import GraphStoppedError, Limits, RemoteSession, graph_processes
from utils.voice_file.metadata import METADATA_KEY
from utils.voice_file.names import parse_file_name

SHORT = Limits(run_seconds=0.3, per_second=0.0)


def endless(folder: Path) -> Path:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes_on"]), helper.make_node("Add", ["so_far", "bit"], ["next"])],
        "body",
        [value("round", TensorProto.INT64, []), value("going", TensorProto.BOOL, []),
         value("so_far", TensorProto.FLOAT, None)],
        [value("goes_on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, None)],
        [helper.make_tensor("bit", TensorProto.FLOAT, [], [1e-30])],
    )  # fmt: skip
    loop = node("Loop", "rounds", "true", "sound", body=body)
    return write(folder, loop, constants={"rounds": np.int64(10**15), "true": np.bool_(True)})


@pytest.mark.slow
def test_a_graph_that_never_ends_is_ended_once_and_named_in_every_rule(tmp_path: Path) -> None:
    extent = Extent(minutes=0, num_blocks=0, limits=SHORT, listens=False)

    found = failed(rules.verify(Candidate(path=endless(tmp_path), extent=extent)))

    stopped = [detail for detail in found.values() if "did not end within" in detail]
    assert len(stopped) == len(found) > 15, found
    assert sum("not run again" not in detail for detail in stopped) <= 2  # a second session tries once more


def test_after_a_graph_was_ended_others_run(tmp_path: Path) -> None:
    session = RemoteSession(endless(tmp_path), SHORT)
    with pytest.raises(GraphStoppedError, match="a run did not end within"):
        session.run(None, {"audio": np.ones((1, 8), np.float32)})
    session.close()

    other = RemoteSession(write(tmp_path), SHORT)

    np.testing.assert_array_equal(other.run(None, {"audio": -np.ones((1, 8), np.float32)})[0], np.ones((1, 8)))


def test_a_process_serves_one_graph_after_the_other(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = RemoteSession(path, SHORT)
    first.close()

    waiting = graph_processes().borrow()
    graph_processes().give_back(waiting)
    second = RemoteSession(path, SHORT)

    assert second.resident_bytes() == pytest.approx(waiting.resident_bytes(), rel=0.5)
    with pytest.raises(FormatError, match="audio"):  # what onnxruntime raises of a wrong feed arrives as one line
        second.run(None, {})


@pytest.mark.parametrize("name", ["a_sr0_hop0_nfft0", "a_sr99999999999_hop1_nfft1", "a_sr24000_hop9999999_nfft960"])
def test_a_name_with_numbers_that_cannot_be_is_one_line(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name=f"{name}.onnx")

    for read in (VoiceSession.open, parse_file_name):
        with pytest.raises(FormatError, match=rf"{name}\.onnx says (sr|hop)\d+; allowed: ") as caught:
            read(path)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stored", "words"),
    [(b'{"a": "\xd4YZ"}', "is no UTF-8 text"), (b"[" * 100_000, "is not JSON"), (b"[1]", "is not a mapping")],
    ids=["no UTF-8", "a deep list", "a list"],
)
def test_metadata_that_cannot_be_read_is_one_line(stored: bytes, words: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    model = onnx.load(str(path))
    helper.set_model_props(model, {METADATA_KEY: "X" * len(stored)})
    path.write_bytes(model.SerializeToString().replace(b"X" * len(stored), stored))

    with pytest.raises(FormatError, match=words) as caught:
        VoiceSession.open(path)
    found = failed(rules.verify(Candidate(path=path, extent=Extent(minutes=0, num_blocks=0, listens=False))))

    assert len(str(caught.value).splitlines()) == 1
    assert any(words in detail for detail in found.values()), found


@pytest.mark.slow
def test_a_graph_has_room_for_itself_and_what_it_is_fed_on_a_machine_without_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_process, "available_bytes", lambda: 0)
    monkeypatch.setattr(graph_process, "FLOOR_BYTES", 60e6)
    monkeypatch.setattr(graph_process, "LOOK_SECONDS", 0.001)
    nodes = (
        helper.make_node("Expand", ["sound", "many"], ["wide"]),
        helper.make_node("Sin", ["wide"], ["waves"]),
        node("ReduceMean", "waves", axes=[0], keepdims=1),
    )
    small, greedy = (
        RemoteSession(write(tmp_path, *nodes, constants={"many": np.array([rows, 1])}, name=f"{rows}.onnx"), Limits())
        for rows in (100, 4000)
    )
    second = {"audio": np.ones((1, 24000), np.float32)}

    assert small.run(None, second)[0].shape == (1, 24000)  # 10 MB
    with pytest.raises(GraphStoppedError, match=r"took more than 0\.1 GB of memory"):
        greedy.run(None, second)  # 400 MB


def test_a_conversion_that_never_ends_is_one_line_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LIMIT_SECONDS", 0.3)
    monkeypatch.setattr(session, "LIMIT_PER_SECOND", 0.0)
    monkeypatch.setattr(run_limit, "LOOK_SECONDS", 0.05)
    voice = VoiceSession.open(endless(tmp_path))

    for _ in range(2):
        with pytest.raises(FormatError, match=r"a run of .*onnx did not end within 0 s; take another file"):
            voice.run(np.ones(80, np.float32))

    monkeypatch.setattr(session, "LIMIT_SECONDS", 60.0)
    assert VoiceSession.open(write(tmp_path, name="b_sr8000_hop80_nfft320.onnx")).run(np.ones(80, np.float32)).all()
