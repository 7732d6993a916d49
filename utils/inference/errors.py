"""What can go wrong in a conversion. Whoever gets an error got no audio: nothing is ever given back unconverted."""

from utils.errors import ConfigError, DataError, FormatError, WorkbenchError


class ConversionError(WorkbenchError):
    """Base of all errors of a VoiceConversionPipeline."""


class VoiceLoadError(ConversionError, FormatError):
    """The voice cannot be opened: absent, damaged, of another kind, or its export failed."""


class DeviceError(ConversionError, ConfigError):
    """The device that was asked for is not there, or onnxruntime cannot use it for this voice."""


class InvalidAudioError(ConversionError, DataError):
    """What was given is no audio: its shape or rate is wrong, it is empty or broken, a file of it cannot be read."""


class InvalidParameterError(ConversionError, ConfigError):
    """A setting of the conversion is unknown, out of range, or does nothing with this voice."""


class GraphFailedError(ConversionError, FormatError):
    """The graph failed while it ran, or what it made is no audio."""


class OutputError(ConversionError, DataError):
    """The result cannot be written: the disk is full, the place is not writable, the format cannot hold it."""


class ConversionCancelledError(ConversionError):
    """The progress callback asked to stop."""


class PipelineClosedError(ConversionError):
    """The pipeline was closed before."""
