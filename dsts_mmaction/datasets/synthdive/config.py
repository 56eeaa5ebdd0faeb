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
        check('size', self.size, self.size >= 32 and self.size % 32 == 0,
              'be a multiple of 32 pixels')
        low, high = self.num_frames
        check('num_frames', (low, high), 8 <= low <= high and low % 8 == 0,
              'be two numbers, the first a multiple of 8 and at most the '
              'second')
        check('fps', self.fps, self.fps >= 1, 'be at least 1')
        check('seed', self.seed, self.seed >= 0, 'not be negative')
        values = dict(num_frames=(low, high),
                      difficulty=_difficulty(self.difficulty))
        for name, allowed in (('directions', DIRECTIONS),
                              ('positions', POSITIONS)):
            chosen = values[name] = tuple(getattr(self, name))
            check(name, chosen, _distinct(chosen) and {*chosen} <= {*allowed},
                  f'be one or more of {allowed}, each once')
        turns = values['somersaults'] = tuple(map(float, self.somersaults))
        most = MAX_STEP * SAMPLED_FRAMES * MAX_SPIN_TIME / 360
        check('somersaults', turns,
              _distinct(turns) and all(0 < value <= most for value in turns),
              'be different numbers above 0 and at most '
              f'{math.floor(most * 10) / 10}')
        for name, value in values.items():
            object.__setattr__(self, name, value)

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
        return {key: list(value) if isinstance(value, tuple) else value
                for key, value in asdict(self).items()}


def class_names(config: SynthDiveConfig) -> list[str]:
    """Names, such as ``forward_0.5_pike``, in the order of the labels."""
    return [f'{direction}_{turns:g}_{position}'
            for direction, turns, position in config.classes]


def check(option: str, value: Any, allowed: bool, rule: str) -> None:
    """Refuse a value of an option.

    Raises:
        ValueError: It is not allowed; ``rule`` says what it must.
    """
    if not allowed:
        raise ValueError(
            f'{option}={value} is not allowed: it must {rule}.')


def _distinct(values: tuple) -> bool:
    return len({*values}) == len(values) > 0


def _difficulty(value: float | str) -> float:
    try:
        number = float(DIFFICULTY_LEVELS.get(value, value))
    except ValueError:
        number = math.nan
    check('difficulty', value, 0 <= number <= 1, 'be a number from 0 to 1 or '
          f"one of {', '.join(DIFFICULTY_LEVELS)}")
    return number
