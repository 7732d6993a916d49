"""Audio and plots of held-out clips at each validation: as timelines in TensorBoard, as files for the run's page."""

from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from models.adversarial import AdversarialTraining
from utils.audio.batch import VoiceBatch
from utils.audio.spectral import LogMelSpectrogram
from utils.config import AudioConfig
from utils.features.pitch.base import PitchTracker, extract_f0
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.listening import HeardSound, ListeningFolder
from utils.training.loggers import log_everywhere
from utils.training.plots import PitchPanel, plot_mels, plot_pitch

TRANSPOSED_SEMITONES = 4.0
CENTS = 1200.0


class PitchFit(NamedTuple):
    """How the measured pitch fits the requested one.

    Attributes:
        cents: [N] distances in frames voiced in both.
        voicing_error: share of frames that are voiced in one alone.
    """

    cents: np.ndarray
    voicing_error: float


class MediaLogger(Callback):
    """Shows the same held-out clips at each validation: recorded, rebuilt and transposed.

    Audio `clip<i>/real` (once), `clip<i>/converted` and `clip<i>/converted_up_4_semitones`; plots `clip<i>/mel` and
    `clip<i>/f0`; figures `val/f0_error_cents` (median) and `val/voicing_error` over the conversions shown.

    Args:
        audio: settings of the mel spectrograms.
        tracker: measures the pitch of the conversions.
        num_clips: clips to show, evenly spread over the held-out ones.
        listening: keeps recorded and rebuilt sounds as files, too.
    """

    def __init__(
        self,
        audio: AudioConfig,
        tracker: PitchTracker,
        *,
        num_clips: int = 2,
        listening: ListeningFolder | None = None,
    ) -> None:
        self.audio, self.tracker, self.num_clips = audio, tracker, num_clips
        self.listening = listening
        self.mel = LogMelSpectrogram.of_audio(audio)
        self.has_shown_real = False
        self._seen = 0
        self._fits: list[PitchFit] = []
        self._recorded: set[int] = set()
        self._best_step: int | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget the sounds that an interrupted run made beyond where it is resumed."""
        assert isinstance(pl_module, AdversarialTraining)
        if self.listening is not None and trainer.is_global_zero:
            self.listening.restart(pl_module.steps)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin with the first held-out clip."""
        self._seen = 0
        savers = [item for item in trainer.checkpoint_callbacks if isinstance(item, BestAndLastCheckpoint)]
        self._best_step = savers[0].best_step if savers else None
        self._fits = []

    @torch.no_grad()
    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: VoiceBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the chosen clips of this batch."""
        writer = _writer(trainer)
        if writer is None:
            return
        assert isinstance(pl_module, AdversarialTraining)
        chosen = chosen_clips(_num_held_out(trainer), self.num_clips)
        for row in range(len(batch.audio)):
            if self._seen + row in chosen:
                self._show(writer, pl_module, batch, row, chosen.index(self._seen + row))
        self._seen += len(batch.audio)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log how well the pitch was followed."""
        assert isinstance(pl_module, AdversarialTraining)
        if not self._fits or not trainer.is_global_zero:
            return
        self.has_shown_real = True
        cents = np.concatenate([fit.cents for fit in self._fits])
        figures = {"val/voicing_error": float(np.mean([fit.voicing_error for fit in self._fits]))}
        figures |= {"val/f0_error_cents": float(np.median(cents))} if len(cents) else {}
        log_everywhere(trainer, figures, pl_module.steps)

    def state_dict(self) -> dict[str, Any]:
        """Return whether the recordings have been shown."""
        return {"has_shown_real": self.has_shown_real}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over whether the recordings have been shown."""
        self.has_shown_real = state_dict["has_shown_real"]

    def _show(
        self, writer: SummaryWriter, module: AdversarialTraining, batch: VoiceBatch, row: int, number: int
    ) -> None:
        frames, step, rate = int(batch.num_frames[row]), module.steps, self.audio.sample_rate
        content, f0_hz, loudness_db = (
            value[row : row + 1, :frames] for value in (module.voice.content_of(batch), batch.f0_hz, batch.loudness_db)
        )
        speaker = batch.speaker_id[row : row + 1]
        transposed_hz = f0_hz * 2 ** (TRANSPOSED_SEMITONES / 12)
        rebuilt, shifted = (
            module.voice.inference(content, requested_hz, loudness_db, speaker)[0].float().cpu()
            for requested_hz in (f0_hz, transposed_hz)
        )
        if not bool(torch.isfinite(torch.cat([rebuilt, shifted])).all()):
            return  # neither audio nor pitch; val/mel shows it
        real = batch.audio[row, : len(rebuilt)].float().cpu()
        label = f"converted_up_{TRANSPOSED_SEMITONES:g}_semitones"
        self._keep(number, step, real.clamp(-1, 1), rebuilt.clamp(-1, 1))
        if not self.has_shown_real:
            writer.add_audio(f"clip{number}/real", real.clamp(-1, 1), step, rate)
        writer.add_audio(f"clip{number}/converted", rebuilt.clamp(-1, 1), step, rate)
        writer.add_audio(f"clip{number}/{label}", shifted.clamp(-1, 1), step, rate)
        sounds = {"recorded": real, "rebuilt by the voice": rebuilt, f"{TRANSPOSED_SEMITONES:g} semitones up": shifted}
        mels = [(title, self._mel_of(sound)) for title, sound in sounds.items()]
        writer.add_image(f"clip{number}/mel", plot_mels(mels), step, dataformats="HWC")
        panels = [
            self._pitch_panel(title, requested_hz[0], sound)
            for title, requested_hz, sound in (("rebuilt", f0_hz, rebuilt), ("transposed", transposed_hz, shifted))
        ]
        writer.add_image(f"clip{number}/f0", plot_pitch(panels), step, dataformats="HWC")

    def _keep(self, number: int, step: int, real: Tensor, rebuilt: Tensor) -> None:
        """Keep a clip for listening, the recording once."""
        if self.listening is None:
            return
        rate = self.audio.sample_rate
        sounds = [HeardSound("converted", step, rebuilt.numpy(), rate)]
        if number not in self._recorded:
            self._recorded.add(number)
            sounds.append(HeardSound("target", None, real.numpy(), rate))
        self.listening.add(
            f"held_out_{number}", f"Held-out clip {number + 1}", "held_out", sounds, best_step=self._best_step
        )

    def _mel_of(self, sound: Tensor) -> np.ndarray:
        return self.mel.cpu()(sound[None])[0].numpy()

    def _pitch_panel(self, title: str, requested_hz: Tensor, sound: Tensor) -> PitchPanel:
        requested = requested_hz.float().cpu().numpy()
        measured = extract_f0(sound.numpy(), self.audio.sample_rate, self.tracker)[: len(requested)]
        fit = compare_pitch(requested, measured)
        self._fits.append(fit)
        error = f"{np.median(fit.cents):.0f} cents" if len(fit.cents) else "not voiced"
        words = f"{title}: pale requested, dark measured; median error {error}, voicing error"
        return PitchPanel(f"{words} {100 * fit.voicing_error:.0f} %", requested, measured)


def compare_pitch(requested_hz: np.ndarray, measured_hz: np.ndarray) -> PitchFit:
    """Compare two curves [F] in Hz with 0 in unvoiced frames."""
    both = (requested_hz > 0) & (measured_hz > 0)
    cents = np.abs(CENTS * np.log2(measured_hz[both] / requested_hz[both]))
    return PitchFit(cents, float(np.mean((requested_hz > 0) != (measured_hz > 0))))


def chosen_clips(count: int, wanted: int) -> list[int]:
    """Return the numbers of `wanted` clips (fewer where there are fewer), evenly spread, the last one among them."""
    return sorted({count - 1 - index * count // wanted for index in range(min(wanted, count))})


def _num_held_out(trainer: lightning.Trainer) -> int:
    loader = trainer.val_dataloaders
    assert loader is not None
    return len(loader.dataset)


def _writer(trainer: lightning.Trainer) -> SummaryWriter | None:
    """Return TensorBoard's writer on the one process that writes."""
    if trainer.sanity_checking or not trainer.is_global_zero:
        return None
    found = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return found[0].experiment if found else None
