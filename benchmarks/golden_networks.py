"""What the networks of other programs make of recorded inputs, file kind by file kind."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.golden_weights import NUM_SPEAKERS, Arrays, errors_of, fill_published
from models.layers.sovits_encoders import Bins, f0_of_log, log_f0, quantize_f0, relative_log_f0
from models.layers.sovits_frames import OwnFrames, frame_volume, stretched_rows
from utils.audio.filling import fill_unvoiced
from utils.audio.spectral import PUBLISHED_OFFSET, Stft
from utils.config.train import train_job
from utils.training.losses import PublishedMelLoss, SummedMelLoss, build_spectral_loss

NUM_SOVITS_SPEAKERS, SOVITS_HOP = 200, 512
MULTISCALE = "multiscale_mel_loss_"


@torch.no_grad()
def rvc_errors(arrays: Arrays, model: str, use_f0: bool = True) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for the outputs of a generator of RVC or Applio; `model` is our option's name."""
    overrides = [f"audio=rvc_{model.rsplit('_', 1)[-1]}", f"model={model}", f"model.use_f0={str(use_f0).lower()}"]
    content = torch.from_numpy(arrays["phone"])
    voice = train_job(overrides).model.build(content_dim=content.shape[2], num_speakers=NUM_SPEAKERS)
    fill_published(voice)
    frames = content.shape[1]
    f0_hz = torch.from_numpy(arrays["f0"]) if "f0" in arrays else torch.zeros(1, frames)
    speaker_id = torch.from_numpy(arrays["speaker"])
    speaker = voice.emb_g(speaker_id).unsqueeze(-1)
    silent_prior = torch.zeros(1, voice.hidden_channels, frames)
    silent_source = torch.zeros(1, frames * voice.hop_length)
    made = voice.convert(content, f0_hz, speaker_id, prior_noise=silent_prior, source_noise=silent_source)
    posterior = voice.enc_q(torch.from_numpy(arrays["spec"]), speaker)
    found = _parts(voice, made, posterior, speaker, voice.dec(posterior.mean, f0_hz, speaker, silent_source))
    # coarse, the pitch in bins, follows from f0
    yield from errors_of(found, arrays, inputs={"phone", "f0", "coarse", "spec", "speaker"})


@torch.no_grad()
def discriminator_errors(arrays: Arrays, option: str) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for scores and mean feature maps of a discriminator, by our option's name."""
    discriminator = fill_published(train_job([f"discriminator={option}"]).discriminator.build())
    found: dict[str, Tensor] = {}
    for kind in ("real", "fake"):
        output = discriminator(torch.from_numpy(arrays[kind]).flatten(1))
        for number, (score, features) in enumerate(zip(output.scores, output.features, strict=True)):
            found[f"score_{kind}_{number}"] = score
            means = [layer.double().abs().mean() for layer in features]
            found[f"feature_mean_abs_{kind}_{number}"] = torch.stack(means)
    pair = [torch.from_numpy(arrays[kind]).flatten(1) for kind in ("fake", "real")]
    for name in arrays:
        if name.startswith(MULTISCALE):
            rate = 1000 * int(name.removeprefix(MULTISCALE).removesuffix("k"))
            found[name] = SummedMelLoss(rate)(*pair).reshape(1)
    yield from errors_of(found, arrays, inputs={"real", "fake"})


@torch.no_grad()
def spectrum_errors(arrays: Arrays) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for the linear and log-mel spectrograms of each rate that a file holds."""
    found = {}
    rates = [key.removeprefix("wave_") for key in arrays if key.startswith("wave_")]
    for rate in rates:
        audio = train_job([f"audio=rvc_{rate}"]).audio
        wave = torch.from_numpy(arrays[f"wave_{rate}"])[None]
        stft = Stft(audio.n_fft, audio.hop_length, padding="reflect")
        found[f"linear_{rate}"] = stft.magnitude(wave, PUBLISHED_OFFSET)[:, :, :20]
        found[f"mel_{rate}"] = PublishedMelLoss(audio).mel(wave)
    yield from errors_of(found, arrays, inputs={f"wave_{rate}" for rate in rates})


@torch.no_grad()
def sovits_errors(arrays: Arrays, version: str, variant: str) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for the outputs of a generator of So-VITS-SVC.

    Args:
        arrays: of the file.
        version: "4.0" or "4.1".
        variant: encoder and options in the words of the recorded files, such as "vec768l12_shared_flow".
    """
    content = torch.from_numpy(arrays["c"]).transpose(1, 2)
    options = {
        "use_volume": "vol" in arrays,
        "predicts_f0": "predicted_f0" in arrays,
        "use_snakes": "snake" in variant,
        "shares_flow": "shared_flow" in variant or "tiny" in variant,
        "transformer_flow": "transformer_flow" in variant,
        "is_separable": "depthwise" in variant or "tiny" in variant,
    }
    sizes = {"speaker_dim": 256 if "vec256" in variant or "gin256" in variant else 768}
    sizes |= {"filter_channels": 512, "upsample_channels": 400} if "tiny" in variant else {}
    overrides = [f"model.{name}={str(value).lower()}" for name, value in {**options, **sizes}.items()]
    job = train_job([f"model=sovits_{version.replace('.', '_')}", "audio=sovits", *overrides])
    voice: Any = fill_published(job.model.build(content_dim=content.shape[2], num_speakers=NUM_SOVITS_SPEAKERS))
    inputs = {name: torch.from_numpy(arrays[name]) for name in ("f0", "uv", "speaker", "spec")}
    speaker_id, f0_hz = inputs["speaker"].reshape(-1), inputs["f0"]
    volume = torch.from_numpy(arrays["vol"]) if "vol" in arrays else torch.zeros_like(f0_hz)
    frames = OwnFrames(content, f0_hz, inputs["uv"].float(), volume, None)
    speaker = voice.emb_g(speaker_id).unsqueeze(-1)
    silent_prior = torch.zeros(1, voice.hidden_channels, f0_hz.shape[1])
    silent_source = torch.zeros(1, f0_hz.shape[1] * voice.own_hop)
    made = voice.convert(frames, speaker_id, prior_noise=silent_prior, source_noise=silent_source)
    posterior = voice.enc_q(inputs["spec"], speaker)
    found = _parts(voice, made, posterior, speaker, voice.dec(posterior.mean, f0_hz, speaker, silent_source))
    if options["predicts_f0"]:
        found["predicted_lf0"] = voice.predict_pitch(voice.embed(frames), frames, speaker)
        found["predicted_f0"] = f0_of_log(found["predicted_lf0"])
    yield from errors_of(found, arrays, inputs={"c", "f0", "uv", "vol", "spec", "speaker"})


@torch.no_grad()
def vits_errors(arrays: Arrays) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for the outputs of VITS as a voice converter."""
    job = train_job(["model=vits_vc", "audio=vits"])
    voice: Any = fill_published(job.model.build(content_dim=1, num_speakers=NUM_SPEAKERS))
    source, target = (torch.from_numpy(arrays[f"speaker_{name}"]).reshape(-1) for name in ("source", "target"))
    made = voice.convert(torch.from_numpy(arrays["spec"]), source, target)
    found = {
        "posterior_mean": made.posterior.mean,
        "posterior_log_std": made.posterior.log_std,
        "flow_forward": made.free,
        "latent": made.latent,
        "audio": made.audio,
        "reconstruction": voice.decode(made.posterior.mean, voice.emb_g(source).unsqueeze(-1)),
    }
    yield from errors_of(found, arrays, inputs={"spec", "speaker_source", "speaker_target"})


@torch.no_grad()
def sovits_feature_errors(arrays: Arrays) -> Iterator[tuple[str, float]]:
    """Yield (array, relative error) for the spectra, the volume and the frames of So-VITS-SVC."""
    given = {name: torch.from_numpy(value)[None] for name, value in arrays.items()}
    audio, wave = train_job(["audio=sovits"]).audio, given["wave_44k"]
    count = wave.shape[1] // SOVITS_HOP
    sovits_mel: Any = build_spectral_loss("sovits", audio)
    stft = Stft(audio.n_fft, SOVITS_HOP, padding="reflect")
    steps, wanted = torch.arange(count)[None], torch.tensor([count])
    found = {
        "linear_44k": stft.magnitude(wave, PUBLISHED_OFFSET)[:, :, :20],
        "mel_44k": sovits_mel.mel(wave),
        "volume": frame_volume(wave, SOVITS_HOP),
    }
    units, pitch = given["units_50fps"], given["f0_100fps"]
    for name in ("units_nearest", "units_left"):
        size = torch.tensor([units.shape[2]])
        found[name] = units[:, :, stretched_rows(steps, size, wanted, size)[0]]
    size = torch.tensor([pitch.shape[1]])
    picked = pitch.gather(1, stretched_rows(steps, size, wanted, size))
    found["f0_from_100fps"], found["uv_from_100fps"] = fill_unvoiced(picked), (picked > 0).float()
    found["lf0"] = log_f0(found["f0_from_100fps"])
    found["norm_lf0"] = relative_log_f0(found["lf0"], found["uv_from_100fps"])
    gaps = given["f0_gaps_86fps"]
    found["f0_filled_86fps"], found["uv_86fps"] = fill_unvoiced(gaps), (gaps > 0).float()
    bins: tuple[Bins, ...] = ("4.1", "4.0")
    found |= {f"coarse_{version}": quantize_f0(given["coarse_hz"], version) for version in bins}
    inputs = {"wave_44k", "units_50fps", "f0_100fps", "f0_gaps_86fps", "coarse_hz"}
    yield from errors_of(found, arrays, inputs)


def _parts(voice: Any, made: Any, posterior: Any, speaker: Tensor, reconstruction: Tensor) -> dict[str, Tensor]:
    """Return what files record of a generator: its prior, what it converted, posterior, flow and decoder."""
    return {
        "prior_mean": made.prior.mean,
        "prior_log_std": made.prior.log_std,
        "latent": made.latent,
        "audio": made.audio,
        "posterior_mean": posterior.mean,
        "posterior_log_std": posterior.log_std,
        "flow_forward": voice.flow(posterior.mean, speaker),
        "reconstruction": reconstruction,
    }
