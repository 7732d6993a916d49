"""What a resampler lets pass and what it stops, measured from its kernels."""

from dataclasses import dataclass

import torch

from utils.audio.resample import RationalResampler

RIPPLE_DB = 0.1
ATTENUATION_DB = 80.0
OVERSAMPLING = 32  # points of the spectrum for each of the kernel's own


@dataclass(frozen=True, kw_only=True)
class ResamplerBands:
    """Bands of a resampler, images of the input's spectrum counted as stop band.

    Attributes:
        source_rate: samples per second of the input.
        target_rate: samples per second of the output.
        pass_band_hz: up to here the gain is within RIPPLE_DB of 1.
        ripple_db: largest difference from a gain of 1 in the pass band.
        stop_band_hz: from here on everything is at least ATTENUATION_DB down.
        attenuation_db: by how much the loudest of the stop band is down.
    """

    source_rate: int
    target_rate: int
    pass_band_hz: float
    ripple_db: float
    stop_band_hz: float
    attenuation_db: float

    def __str__(self) -> str:
        return (
            f"{self.source_rate} to {self.target_rate} Hz: within {self.ripple_db:.2f} dB up to "
            f"{self.pass_band_hz:.0f} Hz, {self.attenuation_db:.0f} dB down from {self.stop_band_hz:.0f} Hz on"
        )


def measure_bands(resampler: RationalResampler) -> ResamplerBands | None:
    """Return the bands of a resampler; None for equal rates, where it does nothing."""
    if resampler.up == resampler.down:
        return None
    prototype = _prototype(resampler)
    count = 1 << (OVERSAMPLING * len(prototype) - 1).bit_length()
    gain = torch.fft.rfft(prototype, n=count).abs()
    step_hz = resampler.source_rate * resampler.up / count
    gain_db = 20 * torch.log10(gain.clamp(min=1e-12))
    is_outside, is_loud = gain_db.abs() > RIPPLE_DB, gain_db > -ATTENUATION_DB
    end = int(is_outside.to(torch.uint8).argmax())
    first = len(gain_db) - int(is_loud.flip(0).to(torch.uint8).argmax())
    return ResamplerBands(
        source_rate=resampler.source_rate,
        target_rate=resampler.target_rate,
        pass_band_hz=round((end - 1) * step_hz, 1),
        ripple_db=round(float(gain_db[:end].abs().max()), 4),
        stop_band_hz=round(first * step_hz, 1),
        attenuation_db=round(-float(gain_db[first:].max()), 2),
    )


def _prototype(resampler: RationalResampler) -> torch.Tensor:
    """Return the one filter, at `up` times the source's rate, of which the kernels are the phases; gain 1 at 0 Hz."""
    up, down = resampler.up, resampler.down
    kernels = resampler.kernels.squeeze(1).double()
    taps = torch.arange(kernels.shape[1])
    # tap t of phase p lies t - reach - p * down / up source samples from the output sample
    offsets = taps[None, :] * up - torch.arange(up)[:, None] * down
    prototype = torch.zeros(int(offsets.max() - offsets.min()) + 1, dtype=torch.float64)
    prototype[(offsets - offsets.min()).flatten()] = kernels.flatten() / up
    used = prototype.nonzero()
    return prototype[int(used.min()) : int(used.max()) + 1]
