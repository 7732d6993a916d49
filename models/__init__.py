"""Voice-conversion networks; they know no configuration, no file and no Hydra.

Letters of tensor axes: B batch, C channels, D content dimension, F frames at 100 per second, K codebook entries,
S speakers, T samples (T = F * hop_length).

Read in this order:

1. base.py: the contract of an architecture. `inference` makes audio from content, pitch, loudness and speaker.
2. toy.py: the smallest architecture that works; copy it to begin one of your own.
3. lite.py: the light voice, with the layers that it names in layers/; then rvc.py, RVC v1 and v2.
4. conversion.py: AudioConverter, from audio to audio around a generator; this is what is exported.
5. adversarial.py: the one training step of all architectures, with adversarial_losses.py and updating.py;
   discriminators.py and rvc_discriminators.py are what it trains against; clip_random.py makes its random numbers.
6. stream_conversion.py and streams/: the same conversion block by block. lite_stream.py is trained so.
7. export_forms/: the networks in the operators that runtimes run fast. Nothing before needs them.

A network finds its forms for graphs and streams by `form(kind)`, see base.py.
"""

from models.base import BaseVoiceConversionModel

__all__ = ["BaseVoiceConversionModel"]
