"""One clip: drawing its attributes at random and rendering its frames."""

from dataclasses import dataclass

import cv2
import numpy as np

from . import figure
from .config import SPLITS, SynthDiveConfig
from .scene import Scene, draw_scene, sample_colors

# Frames are drawn this many times larger, then averaged: smooth edges.
SUPERSAMPLING = 3


@dataclass(frozen=True)
class ClipSpec:
    """All attributes of a clip.

    ``direction``, ``somersaults`` and ``position`` are the class. Everything
    else is drawn independently of it, except that the rotation lasts
    ``somersaults / spin`` (parts of the clip).
    """
    label: int
    direction: str
    somersaults: float
    position: str
    num_frames: int
    spin: float  # turns per clip while rotating
    spin_start: float  # part of the clip before the rotation starts
    start_angle: float  # degrees, clockwise from upright
    fold_time: float  # part of the clip spent folding, and again opening
    body_height: float  # in frame sides
    flexion_offset: tuple[float, ...]  # degrees, see figure.flexion
    path: tuple[float, ...]  # column, row, drift of both, arc, frame sides
    jitter: float  # standard deviation of the camera's shake, frame sides
    noise: float  # standard deviation of pixel noise, 0 to 255
    scene: Scene
    look: figure.Look
    noise_seed: int


def clip_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The random stream of one clip.

    It depends on nothing but its arguments: not on the number of workers and
    not on the number of clips.
    """
    key = (SPLITS.index(split), index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def sample_clip(config: SynthDiveConfig, split: str, index: int) -> ClipSpec:
    """Draw the attributes of one clip.

    Args:
        config: Parameters of the data set.
        split: ``'train'``, ``'val'`` or ``'test'``.
        index: Number of the clip in its split. Its label is ``index`` modulo
            the number of classes, so every split is balanced.
    """
    rng = clip_rng(config.seed, split, index)
    level = config.difficulty
    label = index % len(config.classes)
    direction, somersaults, position = config.classes[label]
    low, high = config.num_frames
    spin = rng.uniform(*config.spin_range)
    scene, look = sample_colors(rng, level)
    return ClipSpec(
        label=label,
        direction=direction,
        somersaults=somersaults,
        position=position,
        num_frames=8 * int(rng.integers(low // 8, high // 8 + 1)),
        spin=spin,
        spin_start=rng.uniform(0, 1 - somersaults / spin),
        start_angle=rng.uniform(0, 360),
        fold_time=rng.uniform(0, 0.2 * level),
        body_height=rng.uniform(0.78 - 0.18 * level, 0.82),
        flexion_offset=tuple(rng.normal(0, 3 + 9 * level, 4)),
        path=(*rng.uniform(0.5 - 0.06, 0.5 + 0.06, 2),
              *rng.uniform(-0.04 - 0.1 * level, 0.04 + 0.1 * level, 2),
              rng.uniform(0, 0.1)),
        jitter=0.015 * level * rng.uniform(0.5, 1),
        noise=24 * level * rng.uniform(0.5, 1),
        scene=scene,
        look=look,
        noise_seed=int(rng.integers(2**32)))


def rotation(spec: ClipSpec, time: np.ndarray) -> np.ndarray:
    """Body angle in degrees, clockwise, at times from 0 to 1."""
    turned = np.clip((time - spec.spin_start) * spec.spin, 0,
                     spec.somersaults)
    sign = 1 if spec.direction == 'forward' else -1
    return spec.start_angle + sign * 360 * turned


def render_clip(spec: ClipSpec, size: int) -> np.ndarray:
    """Render the frames of a clip.

    The diver faces right in every clip: forward is clockwise in the image
    and backward counter-clockwise, whichever side the board is on. Mirroring
    a clip would swap the two, so do not flip in a training pipeline.

    Args:
        spec: Attributes of the clip.
        size: Height and width in pixels.

    Returns:
        uint8, shape (num_frames, size, size, 3), BGR.
    """
    rng = np.random.default_rng(spec.noise_seed)
    side = SUPERSAMPLING * size
    time = np.arange(spec.num_frames) / (spec.num_frames - 1)
    angles = rotation(spec, time)
    folded = np.ones_like(time)
    if spec.fold_time > 0:
        folded = np.clip(np.minimum(time, 1 - time) / spec.fold_time, 0, 1)
    column, row, drift_x, drift_y, arc = spec.path
    # The camera follows the diver; what is left is drift and a flight's arc.
    late = time - 0.5
    centres = side * np.stack([
        column + drift_x * late,
        row + drift_y * late + arc * (4 * late**2 - 0.5)], 1)
    shake = side * rng.normal(0, spec.jitter, (spec.num_frames, 2))
    height = side * spec.body_height
    frames = np.empty((spec.num_frames, size, size, 3), np.uint8)
    offset = np.array(spec.flexion_offset)
    for i in range(spec.num_frames):
        image = draw_scene(side, spec.scene, shake[i])
        pose = figure.joints(figure.flexion(spec.position, folded[i], offset))
        placed = figure.place(pose, angles[i], height, centres[i] + shake[i])
        figure.draw(image, placed, height, spec.look)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        noisy = image + rng.normal(0, spec.noise, image.shape)
        frames[i] = np.clip(np.round(noisy), 0, 255)
    return frames


def spread_frames(frames: np.ndarray, count: int) -> np.ndarray:
    """The middle of equal segments of a clip, as MMAction2 tests with.

    Args:
        frames: Shape (num_frames, ...).
        count: Number of segments.

    Returns:
        Shape (count, ...).
    """
    picks = (np.arange(count) + 0.5) * len(frames) / count
    return frames[picks.astype(int)]
