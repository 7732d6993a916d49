"""The pitch trackers that can be compared here, and the shipped one as an ONNX graph."""

import io
import logging
import warnings
from collections.abc import Sequence

import torch

from benchmarks.pitch_measures import Track
from utils.audio.frames import FEATURE_RATE
from utils.audio.graph_form import graph_form
from utils.config.preprocess import preprocess_job
from utils.errors import ConfigError
from utils.features.pitch.swift import SwiftPitch
from utils.voice_file.runtime import open_session

OURS, OURS_ONNX = "builtin", "builtin, ONNX"
TRACKERS = ("builtin", "wide", "swift_f0", "fcpe", "crepe", "harvest", "dio")
log = logging.getLogger(__name__)


def load_trackers(names: Sequence[str]) -> dict[str, Track]:
    """Return the trackers that can be compared here; one whose package is missing is named.

    Raises:
        ConfigError: if the shipped tracker, of which the bars are, is asked for and missing, or none is left.
    """
    trackers: dict[str, Track] = {}
    for name in names:
        try:
            tracker = preprocess_job([f"pitch={name}"]).pitch.build()
        except ConfigError as error:
            if name == OURS:
                raise
            log.warning("%s is left out: %s", name, error)
            continue
        trackers[name] = tracker.track
        if name == OURS:
            trackers[OURS_ONNX] = exported(tracker)
    if not trackers:
        raise ConfigError(f"none of {', '.join(names)} can be compared here; the lines above say what to install")
    return trackers


def exported(tracker: SwiftPitch) -> Track:
    """Return the tracker as an ONNX graph in onnxruntime on one thread."""
    buffer = io.BytesIO()
    axes = {"audio": {0: "batch", 1: "time"}, "f0_hz": {0: "batch", 1: "frames"}}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph_form(tracker),
            (torch.zeros(2, FEATURE_RATE),),
            buffer,  # type: ignore[arg-type]  # the tracing exporter accepts a stream
            dynamo=False,
            opset_version=17,
            input_names=["audio"],
            output_names=["f0_hz"],
            dynamic_axes=axes,
        )
    session = open_session(buffer.getvalue())
    return lambda audio: session.run(None, {"audio": audio[None]})[0][0]
