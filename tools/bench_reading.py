"""Reading a clip by a config's pipeline, beside a plain decord loop.

For a row of bench_speed.py.
"""
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import decord
import numpy as np
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from dsts_mmaction.datasets.synthdive.writer import write_video

FRAMES, HEIGHT, WIDTH = 60, 256, 320


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """A video of smoothed noise and a list of it; gone when this ends."""
    folder = tempfile.TemporaryDirectory()
    random = np.random.default_rng(0)
    small = random.integers(256, size=(FRAMES, 16, 20, 3), dtype=np.uint8)
    frames = np.stack([cv2.resize(f, (WIDTH, HEIGHT)) for f in small])
    write_video(str(Path(folder.name) / 'clip.mp4'), frames, fps=30)
    (Path(folder.name) / 'list.txt').write_text('clip.mp4 0\n')
    return folder


def pipeline_and_plain(config: str) -> tuple[Callable, Callable]:
    """Read one clip by the validation pipeline, and without it.

    The plain loop decodes the same frames by decord, in as many threads, and
    resizes and crops them by OpenCV as the pipeline's steps say.
    """
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    folder = Path(_folder().name)
    dataset = DATASETS.build(dict(
        cfg.val_dataloader.dataset, data_root=None,
        ann_file=str(folder / 'list.txt'),
        data_prefix=dict(video=str(folder))))
    sampled = dataset.get_data_info(0)
    for step in dataset.pipeline.transforms[:2]:
        sampled = step(sampled)
    indices = sampled['frame_inds'].tolist()
    threads = dataset.pipeline.transforms[0].num_threads
    steps = {step.type: step for step in cfg.val_dataloader.dataset.pipeline}
    short, crop = steps['Resize'].scale[1], steps['CenterCrop'].crop_size
    size = (round(WIDTH * short / HEIGHT), short)
    left, top = (size[0] - crop) // 2, (size[1] - crop) // 2
    path = str(folder / 'clip.mp4')

    def plain() -> np.ndarray:
        reader = decord.VideoReader(path, num_threads=threads)
        frames = reader.get_batch(indices).asnumpy()
        resized = [cv2.resize(f, size)[top:top + crop, left:left + crop]
                   for f in frames]
        return np.ascontiguousarray(np.stack(resized).transpose(0, 3, 1, 2))

    difference = np.abs(plain().astype(int)
                        - dataset[0]['inputs'].numpy().astype(int))
    if difference.max() > 1:
        raise RuntimeError('The plain loop reads other pixels than the '
                           f'pipeline, up to {difference.max()} apart.')
    return lambda: dataset[0], plain
