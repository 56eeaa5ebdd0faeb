"""How many frames a view has, where a backbone folds time into the batch."""
from typing import NamedTuple

from torch import nn

from ..utils.checks import check_count


class FramesPerView(NamedTuple):
    """Frames of one view at the place of the features; None if not folded.

    Attributes:
        train: In training and validation.
        test: In the test pipeline.
    """
    train: int | None
    test: int | None

    def of(self, num_segs: int | None, training: bool) -> int | None:
        """Frames of one view of a forward.

        Args:
            num_segs: Frames of all views, as Recognizer2D counts them.
            training: Whether the forward trains.
        """
        if training or num_segs == self.train:
            return self.train
        return self.test


def frames_per_view(head: nn.Module, num_segments: int | None,
                    test_num_segments: int | None) -> FramesPerView:
    """What a wrapped head knows, or else options of DSTSHead say.

    Args:
        head: The wrapped head.
        num_segments: Option of DSTSHead.
        test_num_segments: Option of DSTSHead.

    Raises:
        ValueError: Options that contradict each other or the head.
    """
    options = dict(num_segments=num_segments,
                   test_num_segments=test_num_segments)
    for option, value in options.items():
        if value is not None:
            check_count(f'{option} of DSTSHead', value)
    known = getattr(head, 'num_segments', None)
    if known is not None:
        for option, value in options.items():
            if value not in (None, known):
                raise ValueError(f'{option}={value} of DSTSHead contradicts '
                                 f'num_segments={known} of '
                                 f'{type(head).__name__}; leave it out.')
        if getattr(head, 'temporal_pool', False) and getattr(
                head, 'is_shift', True):
            known //= 2
        return FramesPerView(known, known)
    if test_num_segments is None:
        return FramesPerView(num_segments, num_segments)
    if num_segments is None:
        raise ValueError('test_num_segments of DSTSHead needs num_segments.')
    if (num_segments != test_num_segments
            and num_segments % test_num_segments == 0):
        raise ValueError(
            f'test_num_segments={test_num_segments} of DSTSHead divides '
            f'num_segments={num_segments}: several test views could not be '
            'told from one validation view.')
    return FramesPerView(num_segments, test_num_segments)
