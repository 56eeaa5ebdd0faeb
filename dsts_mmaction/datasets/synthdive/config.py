"""Parameters of a SynthDive data set."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from .figure import POSITIONS

SPLITS = ('train', 'val', 'test')
DIRECTIONS = ('forward', 'backward')
DIFFICULTY_LEVELS = {'easy': 0.2, 'medium': 0.5, 'hard': 0.8}

# Recognizers see about this many frames of a clip, spread evenly.
SAMPLED_FRAMES = 8
# Beyond this rotation (degrees) from one sampled frame to the next, forward
# and backward begin to look the same.
MAX_STEP = 100.0
# The longest rotation fills this part of the clip when it is slowest.
MAX_SPIN_TIME = 0.95


@dataclass(frozen=True)
class SynthDiveConfig:
    """What a SynthDive data set looks like, apart from how many clips it has.

    Args:
        size: Height and width of a frame in pixels, a multiple of 32. Of
            other widths decord 0.6 cannot read several frames at once.
        num_frames: Fewest and most frames of a clip. Lengths are multiples
            of 8 drawn from this range, because MMAction2's ``SampleFrames``
            drops the remainder in training.
        fps: Frames per second written to the file.
        difficulty: 0 (clean) to 1, or ``'easy'``, ``'medium'``, ``'hard'``.
        seed: Seed of the whole data set, not negative.
        directions: Some of ``'forward'``, ``'backward'``.
        somersaults: Numbers of turns. The largest must be at most 2.1, or
            8 frames would no longer show the direction.
        positions: Some of ``'tuck'``, ``'pike'``, ``'straight'``.

    Raises:
        ValueError: For a value that is not allowed.
    """
    size: int = 64
    num_frames: tuple[int, int] = (16, 24)
    fps: int = 12
    difficulty: float | str = 'medium'
    seed: int = 0
    directions: tuple[str, ...] = DIRECTIONS
    somersaults: tuple[float, ...] = (0.5, 1.0)
    positions: tuple[str, ...] = POSITIONS

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32:
            raise ValueError(f'size={self.size} is not allowed: it must be a '
                             'multiple of 32 pixels.')
        low, high = self.num_frames
        if not 8 <= low <= high or low % 8:
            raise ValueError(
                f'num_frames=({low}, {high}) is not allowed: it must be two '
                'numbers, the first a multiple of 8 and at most the second.')
        if self.fps < 1:
            raise ValueError(
                f'fps={self.fps} is not allowed: it must be at least 1.')
        if self.seed < 0:
            raise ValueError(
                f'seed={self.seed} is not allowed: it must not be negative.')
        object.__setattr__(self, 'difficulty', _difficulty(self.difficulty))
        object.__setattr__(self, 'num_frames', (low, high))
        for name, allowed in (('directions', DIRECTIONS), ('positions',
                                                           POSITIONS)):
            values = tuple(getattr(self, name))
            if not values or len(set(values)) < len(
                    values) or not set(values) <= set(allowed):
                raise ValueError(
                    f'{name}={values} is not allowed: it must be one or more '
                    f'of {allowed}, each once.')
            object.__setattr__(self, name, values)
        turns = tuple(float(value) for value in self.somersaults)
        most = MAX_STEP * SAMPLED_FRAMES * MAX_SPIN_TIME / 360
        if not turns or len(set(turns)) < len(turns) or not all(
                0 < value <= most for value in turns):
            raise ValueError(
                f'somersaults={turns} is not allowed: it must be different '
                f'numbers above 0 and at most {math.floor(most * 10) / 10}.')
        object.__setattr__(self, 'somersaults', turns)

    @property
    def spin_range(self) -> tuple[float, float]:
        """Slowest and fastest rotation, in turns per clip.

        The range is the same for every class, so the speed alone says nothing
        about the number of somersaults.
        """
        slow = max(self.somersaults) / MAX_SPIN_TIME
        return slow, min(1.35 * slow, MAX_STEP * SAMPLED_FRAMES / 360)

    @property
    def classes(self) -> list[tuple[str, float, str]]:
        """(direction, somersaults, position) of each label."""
        return [(direction, turns, position) for direction in self.directions
                for turns in self.somersaults for position in self.positions]

    def to_dict(self) -> dict[str, Any]:
        """The parameters as plain JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def class_names(config: SynthDiveConfig) -> list[str]:
    """Names of the classes in the order of their labels.

    A name reads ``forward_0.5_pike``.
    """
    return [
        f'{direction}_{turns:g}_{position}'
        for direction, turns, position in config.classes
    ]


def _difficulty(value: float | str) -> float:
    if isinstance(value, str) and value in DIFFICULTY_LEVELS:
        return DIFFICULTY_LEVELS[value]
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise ValueError(
            f'difficulty={value} is not allowed: it must be a number from 0 '
            f"to 1 or one of {', '.join(DIFFICULTY_LEVELS)}.")
    return number
