"""The programs that load an RVC generator, re-enacted: what they feed and what they take back.

Sources: see utils/voice_file/rvc_formats.py.
"""

import logging
from dataclasses import dataclass

import numpy as np

from utils.verification.reference import Feed
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE
from utils.voice_file.kinds import client_values, guessed_shape, rvc_format_of, stated_shape
from utils.voice_file.runtime import GraphSession
from utils.voice_file.rvc_formats import CLIENT_VERSION, OUTPUT, RvcGraph
from utils.voice_file.signature import HALF

BINS = (1, 255)
USUAL_RATE = 48000
PROBE_FRAMES = 20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features:
    """What a client has computed: content [F, D], f0_hz [F] with 0 = unvoiced, noise [C, F]."""

    content: np.ndarray
    f0_hz: np.ndarray
    noise: np.ndarray

    @property
    def bins(self) -> np.ndarray:
        """Coarse pitch as every client quantises it: 254 steps even in mel from 50 to 1100 Hz, 1 to 255."""
        low, high, mel = (1127 * np.log(1 + hz / 700) for hz in (50.0, 1100.0, self.f0_hz))
        steps = (mel - low) * 254 / (high - low) + 1
        bins: np.ndarray = np.rint(np.clip(steps, *BINS)).astype(np.int64)
        return bins


class RvcClient:
    """Feeds a generator and takes its audio as one of the programs does.

    Args:
        session: the graph.
        graph: what the program takes it for.
    """

    def __init__(self, session: GraphSession, graph: RvcGraph) -> None:
        self._session = session
        self._graph = graph
        self._version = str(client_values(session).get("version", ""))

    def features(self, count: int, seed: int) -> Features:
        """Return random features of `count` frames, a third of them unvoiced."""
        rng, shape = np.random.default_rng(seed), self._graph.shape
        f0_hz = 220 * 2 ** rng.uniform(-1, 1, count)
        f0_hz[: count // 3] = 0.0
        content = rng.standard_normal((count, shape.content_dim))
        return Features(content, f0_hz, rng.standard_normal((shape.channels, count)))

    def feed(self, features: Features, speaker: int = 0, window: tuple[int, int, int] | None = None) -> Feed:
        """Return what the client gives: RVC-WebUI by the position of the inputs, the others by their names."""
        count, has_f0 = len(features.f0_hz), self._graph.shape.has_f0
        half = self._session.get_inputs()[0].type == HALF  # w-okada's program looks at the first input alone
        content = features.content[None].astype(np.float16 if half else np.float32)
        pitch = [features.bins[None], features.f0_hz[None].astype(np.float32)] * has_f0
        known = [content, np.array([count], np.int64), *pitch, np.array([speaker], np.int64)]
        if self._graph.rvc_format.name == "rvc_webui":
            known.append(features.noise[None].astype(np.float32))
            names = [item.name for item in self._session.get_inputs()]
        else:
            names = ["feats", "p_len", *(["pitch", "pitchf"] * has_f0), "sid"]
        fed = dict(zip(names, known, strict=False))
        if self._graph.rvc_format.name == "deiteris":
            values = window or (0, count, count)
            fed |= {
                name: np.array(value, np.int64)
                for name, value in zip(("skip_head", "return_length", "formant_length"), values, strict=True)
            }
        return fed

    def play(self, fed: Feed) -> np.ndarray:
        """Return [N] as the client takes it from the graph."""
        if self._graph.rvc_format.name == "rvc_webui":
            squeezed: np.ndarray = np.squeeze(self._session.run(None, fed)[0])
            return squeezed.reshape(-1) if squeezed.ndim == 0 else squeezed
        output: np.ndarray = self._session.run([OUTPUT], fed)[0]
        if self._graph.rvc_format.name == "wokada" and self._version != CLIENT_VERSION:
            output = np.clip(output[0, 0], -1, 1)
        return output

    def probed_rate(self) -> int:
        """Return the rate by the number of samples that some frames become; the usual one where the graph fails."""
        try:
            count = self._session.run(None, self.feed(self.features(PROBE_FRAMES, 0)))[0].size
        except Exception:  # the rules will say what is wrong
            log.debug("the graph does not run as %s feeds it", self._graph.rvc_format.program, exc_info=True)
            return USUAL_RATE
        rate = 100 * round(count / PROBE_FRAMES)
        return rate if LOWEST_RATE <= rate <= HIGHEST_RATE else USUAL_RATE


def rvc_graph_of(session: GraphSession) -> RvcGraph | None:
    """Return what a graph says of itself as an RVC generator, by metadata or else by its inputs; None if it is none."""
    rvc_format = rvc_format_of(session)
    if rvc_format is None:
        return None
    precision = "fp16" if session.get_inputs()[0].type == HALF else "fp32"
    shape = stated_shape(session)
    if shape is None:
        guess = RvcGraph(rvc_format=rvc_format, shape=guessed_shape(session, rvc_format, USUAL_RATE))
        shape = guessed_shape(session, rvc_format, RvcClient(session, guess).probed_rate())
    return RvcGraph(rvc_format=rvc_format, shape=shape, precision=precision)
