"""The card of a distilled voice names its teacher, with licence and consent."""

from dataclasses import replace

from tests.tools.standin_voice import metadata_of
from utils.export.card_text import origins
from utils.voice_file.metadata import TEACHER_KEY

TEACHER = {"name": "bob", "speaker": "Bob", "sha256": "1" * 64, "licence": "CC BY 4.0", "consent": "private use"}


def test_a_teacher_is_among_the_origins_and_only_where_there_is_one() -> None:
    plain, taught = metadata_of(), replace(metadata_of(), extra={TEACHER_KEY: TEACHER})

    (entry,) = origins(taught, [])

    assert origins(plain, []) == []
    assert entry["licences"] == "CC BY 4.0" and entry["sha256"] == "1" * 64
    assert entry["what"] == "teacher, voice bob, speaker Bob, consent: private use"
