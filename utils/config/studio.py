"""The configuration of studio.py."""

from collections.abc import Sequence
from typing import ClassVar

from utils.config.fields import FilePath, OptionalText, Text, Texts, setting
from utils.config.job import Job

USAGE = """\
Open the studio: record, prepare, train, listen, deliver and convert in a browser.

  python studio.py                                            on this machine alone: http://127.0.0.1:7860
  python studio.py folder=/data/voices                        datasets, runs and voices lie there
  VOCLO_PASSWORD=<password> python studio.py host=0.0.0.0     for other machines of the network, which must know it

Everything that it does is a job: a command line of preprocess.py, train.py, export_onnx.py or test_model.py, which each
page shows to be copied. Jobs go on when the browser or the studio is closed.

Environment variables set keys too, beneath the command line: VOCLO_PORT=8000 is port=8000."""


class StudioJob(Job):
    """The studio to be opened: python studio.py."""

    config_name: ClassVar[str] = "studio"
    usage: ClassVar[str] = USAGE

    host: Text = setting("127.0.0.1", "address to listen at; others than this machine's own need password=")
    port: int = setting(7860, "of that address", ge=1, le=65535)
    password: OptionalText = setting(None, "password or token, at least 8 letters; best given as VOCLO_PASSWORD")
    names: Texts = setting(
        [], "further names under which browsers call it, such as that of a proxy", example="[voices.lan]"
    )
    folder: FilePath = setting(".", "where recordings/, datasets/, runs/, exports/ and converted/ lie, and .studio/")
    show: bool = setting(True, "open the browser of this machine")


def studio_job(overrides: Sequence[str]) -> StudioJob:
    """Build the job of studio.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return StudioJob.from_overrides(overrides)
