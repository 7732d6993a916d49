"""So-VITS-SVC in the operators that runtimes run fast."""

from models.export_forms.rvc import LineDecoder, looped
from models.sovits import SovitsModel
from utils.audio.graph_form import in_graph_parts, with_parts


def sovits_in_graph(voice: SovitsModel) -> SovitsModel:
    """Return a copy that shares the weights, with attention as loops and, without snakes, the decoder over lines."""
    prior = with_parts(voice.enc_p, enc_=looped(voice.enc_p.enc_))
    decoder = LineDecoder(voice.dec) if voice.dec.takes_lines else voice.dec
    return with_parts(in_graph_parts(voice), enc_p=prior, dec=decoder)
