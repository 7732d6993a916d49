"""Plots for TensorBoard as arrays of pixels: log-mel spectrograms and pitch curves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

# dark blue over purple and orange to pale yellow, even in lightness
ANCHORS = np.array([(0, 0, 10), (60, 15, 110), (150, 45, 120), (225, 90, 80), (252, 170, 90), (252, 250, 190)])
LOW, HIGH = -11.0, 2.0  # log-mel values of the first and last colour
LABEL_HEIGHT = 14
BACKGROUND, GRID, TEXT = (255, 255, 255), (225, 225, 225), (40, 40, 40)
REQUESTED, MEASURED = (150, 190, 240), (200, 50, 20)
LOWEST_HZ, HIGHEST_HZ = 50.0, 1100.0
GRID_HZ = (50, 100, 200, 400, 800)
PANEL_HEIGHT = 180
PIXELS_PER_FRAME = 2
LEFT_MARGIN = 46
LEAST_WIDTH = 440  # room for a title


class PitchPanel(NamedTuple):
    """One panel of a pitch plot: a title and two curves [F] in Hz with 0 where unvoiced."""

    title: str
    requested_hz: np.ndarray
    measured_hz: np.ndarray


def plot_mels(panels: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Plot log-mel spectrograms [bands, F] under their titles, low frequencies at the bottom.

    Returns:
        [height, width, 3] uint8; two pixels a frame and a band.
    """
    width = max(LEAST_WIDTH, max(mel.shape[1] for _, mel in panels) * PIXELS_PER_FRAME)
    heights = [mel.shape[0] * PIXELS_PER_FRAME for _, mel in panels]
    image = Image.new("RGB", (width, sum(heights) + LABEL_HEIGHT * len(panels)), BACKGROUND)
    draw, top = ImageDraw.Draw(image), 0
    for (title, mel), height in zip(panels, heights, strict=True):
        draw.text((4, top + 1), title, fill=TEXT)
        pixels = colours((mel[::-1] - LOW) / (HIGH - LOW)).repeat(PIXELS_PER_FRAME, axis=0)
        image.paste(Image.fromarray(pixels.repeat(PIXELS_PER_FRAME, axis=1)), (0, top + LABEL_HEIGHT))
        top += LABEL_HEIGHT + height
    return np.asarray(image)


def plot_pitch(panels: Sequence[PitchPanel]) -> np.ndarray:
    """Plot the requested pitch (broad, pale) and the measured one (fine, dark) over each other.

    Returns:
        [height, width, 3] uint8; the axis of frequency is logarithmic from 50 to 1100 Hz.
    """
    width = LEFT_MARGIN + max(len(panel.requested_hz) for panel in panels) * PIXELS_PER_FRAME + 4
    image = Image.new("RGB", (max(LEAST_WIDTH, width), (PANEL_HEIGHT + LABEL_HEIGHT) * len(panels)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for index, panel in enumerate(panels):
        top = index * (PANEL_HEIGHT + LABEL_HEIGHT) + LABEL_HEIGHT
        draw.text((4, top - LABEL_HEIGHT + 1), panel.title, fill=TEXT)
        for hertz in GRID_HZ:
            y = _height_of(hertz) + top
            draw.line([(LEFT_MARGIN, y), (image.width, y)], fill=GRID)
            draw.text((4, y - 6), f"{hertz} Hz", fill=TEXT)
        _curve(draw, panel.requested_hz, top, REQUESTED, 5)
        _curve(draw, panel.measured_hz, top, MEASURED, 1)
    return np.asarray(image)


def colours(values: np.ndarray) -> np.ndarray:
    """Map values 0..1 of any shape to uint8 colours [..., 3]; values beyond get the colour of the end."""
    position = np.clip(values, 0.0, 1.0) * (len(ANCHORS) - 1)
    channels = [np.interp(position, np.arange(len(ANCHORS)), ANCHORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _height_of(hertz: float) -> float:
    share = np.log(np.clip(hertz, LOWEST_HZ, HIGHEST_HZ) / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ)
    return float((1 - share) * (PANEL_HEIGHT - 12)) + 4


def _curve(draw: ImageDraw.ImageDraw, f0_hz: np.ndarray, top: int, colour: tuple[int, int, int], width: int) -> None:
    """Draw each run of voiced frames as a line of its own."""
    voiced = np.flatnonzero(f0_hz > 0)
    for stretch in np.split(voiced, np.flatnonzero(np.diff(voiced) > 1) + 1):
        points = [(LEFT_MARGIN + PIXELS_PER_FRAME * int(frame), top + _height_of(f0_hz[frame])) for frame in stretch]
        if len(points) > 1:
            draw.line(points, fill=colour, width=width)
        elif points:
            draw.point(points, fill=colour)
