"""Controls that a graph asks for: required inputs, for runtimes that cannot set an input with a default.

onnxruntime for the browser and OpenVINO take an initializer for a constant. A graph exported with
export.controls=inputs has none for its controls; every run must give all of them.
"""

from collections.abc import Mapping

import numpy as np

from utils.voice_file.controls import ALL_CONTROLS, control_arrays
from utils.voice_file.metadata import CONTROLS_AS_INPUTS, CONTROLS_KEY, VoiceMetadata
from utils.voice_file.runtime import GraphSession, graph_values
from utils.voice_file.signature import FLOAT, INTEGER, GraphValue

CONTROL_VALUES = {
    control.name: GraphValue(control.name, INTEGER if control.is_integer else FLOAT, ()) for control in ALL_CONTROLS
}


def asks_for_controls(metadata: VoiceMetadata | None) -> bool:
    """Whether a file states that its controls are required inputs."""
    return metadata is not None and metadata.extra.get(CONTROLS_KEY) == CONTROLS_AS_INPUTS


def required_controls(session: GraphSession, metadata: VoiceMetadata | None) -> list[GraphValue]:
    """Return the controls that every run of a graph must be given; none of a graph that does not state so."""
    if not asks_for_controls(metadata):
        return []
    return [value for value in graph_values(session.get_inputs()) if value.name in CONTROL_VALUES]


def settable_controls(session: GraphSession, metadata: VoiceMetadata | None) -> list[GraphValue]:
    """Return the inputs beside the audio and the state that a caller may set, required or not."""
    return [*graph_values(session.get_overridable_initializers()), *required_controls(session, metadata)]


def other_inputs(session: GraphSession, metadata: VoiceMetadata | None) -> list[GraphValue]:
    """Return the required inputs that are no controls."""
    asked = required_controls(session, metadata)
    return [value for value in graph_values(session.get_inputs()) if value not in asked]


def default_feed(session: GraphSession, metadata: VoiceMetadata | None) -> dict[str, np.ndarray]:
    """Return the file's defaults for the controls that a run must be given."""
    asked: Mapping[str, float] = {
        value.name: metadata.control_defaults[value.name]
        for value in required_controls(session, metadata)
        if metadata is not None and value.name in metadata.defaults
    }
    return control_arrays(asked)
