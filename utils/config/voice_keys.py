"""The keys of a voice that say.py, cover.py and live.py share."""

from utils.config.fields import NameOrNumber, Number, setting
from utils.config.job import Job


class VoiceJob(Job):
    """What every script sets of a voice that it uses; null: the voice's own default."""

    speaker: NameOrNumber | None = setting(None, "name or number of a speaker of the voice; null: its own default")
    index_rate: Number | None = setting(
        None, "share of content taken from the voice's own frames", ge=0, le=1, example=0.5
    )
    protect: Number | None = setting(None, "share of index_rate in unvoiced frames", ge=0, le=0.5, example=0.33)
