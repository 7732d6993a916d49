"""VITS in the operators that runtimes run fast."""

from models.export_forms.rvc import LineDecoder
from models.vits import VitsVoice
from utils.audio.graph_form import in_graph_parts, with_parts


def vits_in_graph(voice: VitsVoice) -> VitsVoice:
    """Return a copy that shares the weights, with the decoder over lines."""
    return with_parts(in_graph_parts(voice), dec=LineDecoder(voice.dec))
