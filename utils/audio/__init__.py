"""Audio in and out, rates, frames, spectrograms, loudness."""
