"""What is broken in decord."""
import os.path as osp
from collections.abc import Callable
from typing import Any

from .replacing import replaces


def patch_truncated_avi() -> None:
    """Open AVI files on disk by their path.

    decord 0.6.0 ends the process with a segmentation fault on a truncated
    AVI opened from memory, which is how DecordInit opens every file; by its
    path it decodes what there is.
    """
    from mmaction.datasets.transforms import DecordInit

    @replaces(DecordInit, '_get_video_reader')
    def _get_video_reader(original: Callable, self: Any,
                          filename: str) -> Any:
        if self.io_backend == 'disk' and osp.isfile(filename) \
                and filename.lower().endswith('.avi'):
            import decord
            return decord.VideoReader(filename, num_threads=self.num_threads)
        return original(self, filename)
