"""Which programs load a graph, so that it is tried by their rules and by no others."""

import logging

from utils.verification.candidate import Candidate
from utils.verification.rvc_clients import GeneratorCandidate
from utils.voice_file import kinds
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE
from utils.voice_file.signature import HALF

USUAL_RATE = 48000
PROBE_FRAMES = 20
log = logging.getLogger(__name__)


def is_stream(candidate: Candidate) -> bool:
    """Whether a graph converts block by block, by its name or by its metadata."""
    return kinds.is_stream(candidate.path, candidate.metadata)


def generator_of(candidate: Candidate) -> GeneratorCandidate | None:
    """Return what the rules of an RVC generator need, or None for a graph that takes audio.

    Raises:
        FormatError: if the graph is neither a voice nor a generator.
    """
    session = candidate.session
    rvc_format = kinds.rvc_format_of(session)
    if rvc_format is None:
        kinds.require_audio(session, str(candidate.path))
        return None
    precision = "fp16" if session.get_inputs()[0].type == HALF else "fp32"
    shape = kinds.stated_shape(session)
    if shape is None:
        guess = kinds.guessed_shape(session, rvc_format, USUAL_RATE)
        rate = _probed_rate(GeneratorCandidate(path=candidate.path, rvc_format=rvc_format, shape=guess))
        shape = kinds.guessed_shape(session, rvc_format, rate)
    return GeneratorCandidate(path=candidate.path, rvc_format=rvc_format, shape=shape, precision=precision)


def _probed_rate(candidate: GeneratorCandidate) -> int:
    """Return the rate by the number of samples that some frames become; the usual one where the graph fails."""
    try:
        count = candidate.session.run(None, candidate.feed(candidate.features(PROBE_FRAMES, 0)))[0].size
    except Exception:  # the rules will say what is wrong
        log.debug("%s does not run as %s feeds it", candidate.path, candidate.rvc_format.program, exc_info=True)
        return USUAL_RATE
    rate = 100 * round(count / PROBE_FRAMES)
    return rate if LOWEST_RATE <= rate <= HIGHEST_RATE else USUAL_RATE
