"""From a voice for recordings to its sibling for streams."""

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from models.stream_conversion import StreamConverter
from utils.features.frontend import AnalysisFrontend
from utils.features.stream_frontend import StreamFrontend, StreamResampler, smallest_block


def stream_converter(converter: AudioConverter, *, block_ms: int = 20) -> StreamConverter:
    """Return a voice as a stream, in evaluation mode.

    Args:
        converter: at the rate of the stream.
        block_ms: length of a block, a multiple of 20.
    Raises:
        ExportError: if its generator cannot convert a stream.
        ConfigError: if its encoder or pitch tracker has no form for streams.
    """
    generator, frontend = converter.generator, converter.frontend
    assert isinstance(generator, BaseVoiceConversionModel) and isinstance(frontend, AnalysisFrontend)
    return StreamConverter(
        generator.form("stream"),
        StreamFrontend(frontend),
        converter.retrieval,
        StreamResampler(converter.resampler),
        block=smallest_block(converter.io_rate) * (block_ms // 20),
        defaults=converter.defaults,
    ).eval()
