"""The studio as the main process of a container, and whether it answers."""

import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio import contained, health
from studio.safety import SHORTEST_SECRET
from tests.tools.studio_tools import made_queue, wait_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that could be heard")
def test_a_container_that_is_stopped_lets_trainings_save_and_begins_nothing(tmp_path: Path) -> None:
    queue = made_queue(tmp_path)
    running = queue.submit(["train.py", "run.name=a", "until=never"])
    waiting = queue.submit(["train.py", "run.name=b"])
    wait_for((tmp_path / "a.begun").exists)

    assert contained.end_jobs(queue, 20.0)

    assert queue.job(running.id).state == "stopped" and (tmp_path / "a.saved").exists()
    assert queue.job(waiting.id).state == "queued" and not (tmp_path / "b.begun").exists()
    made_queue(tmp_path)  # the container is back
    wait_for(lambda: queue.job(waiting.id).state == "done")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that could be heard")
def test_the_main_process_hands_the_wish_to_stop_on(tmp_path: Path) -> None:
    (tmp_path / "studio.py").write_text(
        "import pathlib, sys, time\npathlib.Path(sys.argv[1], 'up').touch()\ntime.sleep(30)", "utf-8"
    )
    call = f"main(sys.argv[1:], pathlib.Path({str(tmp_path)!r}))"
    program = f"import sys, pathlib; from studio.contained import main; sys.exit({call})"
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), f"folder={tmp_path}"], cwd=ROOT)
    wait_for((tmp_path / "up").exists)

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert (tmp_path / ".studio" / "jobs" / "hold").exists()


@pytest.mark.parametrize(("status", "is_well"), [(200, True), (401, True), (500, False), (421, False)])
def test_a_studio_is_well_when_it_answers(status: int, is_well: bool) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert health.answers(server.server_port) == is_well
    assert not health.answers(server.server_port)


def test_containers_are_not_root_keep_a_volume_and_ask_for_a_password() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]

    words = [line.split()[0] for line in image if line and line[0].isalpha()]
    assert words.index("USER") < words.index("CMD") and "USER root" not in image
    assert {"HEALTHCHECK", "VOLUME"} <= set(words)
    for service in services.values():
        assert "VOCLO_PASSWORD:?" in service["environment"]["VOCLO_PASSWORD"]
        assert str(SHORTEST_SECRET) in service["environment"]["VOCLO_PASSWORD"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["cap_drop"] == ["ALL"] and service["volumes"] == ["voices:/data"]
        grace = int(service["stop_grace_period"].removesuffix("m")) * 60
        assert grace > contained.GRACE_SECONDS


def test_each_variable_that_the_guide_names_reaches_the_studio() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    named = set(re.findall(r"VOCLO_[A-Z_]+", (ROOT / "docs/guides/containers.md").read_text("utf-8") + text))

    for service in yaml.safe_load(text)["services"].values():
        assert named - {"VOCLO_PUBLISHED_PORT"} <= service["environment"].keys()


def test_the_command_of_the_image_is_one_that_the_studio_takes() -> None:
    from utils.config.studio import studio_job

    line = next(line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if line.startswith("CMD"))
    words = yaml.safe_load(line.removeprefix("CMD "))

    assert words[:3] == ["python", "-m", "studio.contained"]
    assert studio_job(words[3:]).host == "0.0.0.0"
