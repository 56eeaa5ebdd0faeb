"""A picture that shows every class over time."""

import cv2
import numpy as np

from ...utils.atomic import write_atomically
from .clip import render_clip, sample_clip, spread_frames
from .config import SynthDiveConfig, class_names

LABEL_WIDTH, GAP, TEXT_HEIGHT = 180, 2, 18


def draw_contact_sheet(config: SynthDiveConfig,
                       path: str,
                       split: str = 'train',
                       columns: int = 8) -> None:
    """Write a PNG with one row a class and time from left to right.

    Args:
        config: Parameters of the data set.
        path: File to write.
        split: The split whose first clip of each class is shown.
        columns: Number of frames a row, spread evenly over the clip.

    Raises:
        OSError: The file cannot be written.
    """
    margins = (0, GAP), (0, GAP), (0, 0)
    width = LABEL_WIDTH + columns * (config.size + GAP)
    title = np.full((TEXT_HEIGHT, width, 3), 255, np.uint8)
    _label(title, 'class', 4, 13)
    _label(title, 'time ->', LABEL_WIDTH, 13)
    rows = [title]
    for label, name in enumerate(class_names(config)):
        frames = render_clip(sample_clip(config, split, label), config.size)
        row = np.full((config.size + GAP, LABEL_WIDTH, 3), 255, np.uint8)
        _label(row, name, 4, config.size // 2 + 4)
        tiles = [np.pad(frame, margins, constant_values=255)
                 for frame in spread_frames(frames, columns)]
        rows.append(np.concatenate([row, *tiles], 1))
    done, data = cv2.imencode('.png', np.concatenate(rows))
    if not done:
        raise OSError(f'{path} cannot be written as a PNG picture.')
    with write_atomically(path, 'wb') as file:
        file.write(data.tobytes())


def _label(image: np.ndarray, text: str, column: int, row: int) -> None:
    cv2.putText(image, text, (column, row), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                (0, 0, 0), 1, cv2.LINE_AA)
