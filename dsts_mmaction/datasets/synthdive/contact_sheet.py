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
    names = class_names(config)
    rows: list[np.ndarray] = []
    for label, name in enumerate(names):
        spec = sample_clip(config, split, label)
        frames = render_clip(spec, config.size)
        row = np.full((config.size + GAP, LABEL_WIDTH, 3), 255, np.uint8)
        cv2.putText(row, name, (4, config.size // 2 + 4),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        tiles = [
            cv2.copyMakeBorder(
                frame,
                0,
                GAP,
                0,
                GAP,
                cv2.BORDER_CONSTANT,
                value=(255, 255, 255))
            for frame in spread_frames(frames, columns)
        ]
        rows.append(np.concatenate([row, *tiles], 1))
    sheet = np.concatenate(rows)
    title = np.full((TEXT_HEIGHT, sheet.shape[1], 3), 255, np.uint8)
    cv2.putText(title, 'class', (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(title, 'time ->', (LABEL_WIDTH, 13), cv2.FONT_HERSHEY_SIMPLEX,
                0.45, (0, 0, 0), 1, cv2.LINE_AA)
    done, data = cv2.imencode('.png', np.concatenate([title, sheet]))
    if not done:
        raise OSError(f'{path} cannot be written as a PNG picture.')
    with write_atomically(path, 'wb') as file:
        file.write(data.tobytes())
