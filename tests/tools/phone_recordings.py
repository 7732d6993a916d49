"""Recordings in the formats of phones and cameras, made by the libraries that read them."""

from pathlib import Path

import av
import numpy as np


def write_recording(
    path: Path, audio: np.ndarray, sample_rate: int, codec: str, *, with_pictures: bool = False
) -> None:
    """Encode audio [T] or [C, T] float32; the name's ending chooses the container.

    Args:
        path: the file.
        audio: mono or stereo.
        sample_rate: samples per second; the codec must know it.
        codec: name of an encoder of FFmpeg.
        with_pictures: add a video track before the sound, longer than it.
    """
    channels = np.atleast_2d(audio).astype(np.float32)
    layout = {1: "mono", 2: "stereo"}[len(channels)]
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10) if with_pictures else None
        stream = container.add_stream(codec, rate=sample_rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        if isinstance(pictures, av.VideoStream):
            pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
            for number in range(10 * channels.shape[1] // sample_rate + 10):
                image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number % 255, np.uint8), format="rgb24")
                container.mux(pictures.encode(image))
            container.mux(pictures.encode(None))
        converter = av.AudioResampler(stream.codec_context.format.name, layout, sample_rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
        frame.sample_rate = sample_rate
        for part in [*converter.resample(frame), *converter.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
