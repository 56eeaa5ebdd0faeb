"""Writing a data set: videos, annotation lists, class names, parameters."""

import json
import multiprocessing
import os
import shutil
from contextlib import suppress

import cv2
import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from ...utils.atomic import write_lines
from ..workers import leave_signals_to_parent
from .clip import render_clip, sample_clip
from .config import SPLITS, SynthDiveConfig, check, class_names

META_FILE = 'meta.json'
# Raised whenever the same parameters would give other frames.
FORMAT_VERSION = 1

Job = tuple[SynthDiveConfig, str, int, str]


def write_dataset(config: SynthDiveConfig,
                  out_dir: str,
                  num_clips: dict[str, int],
                  num_workers: int = 0,
                  overwrite: bool = False,
                  progress: bool = True) -> int:
    """Write a SynthDive data set, keeping clips that are there already.

    ``out_dir`` gets ``videos/SPLIT_NUMBER.mp4``, ``train.txt``, ``val.txt``
    and ``test.txt`` with lines ``videos/NAME.mp4 LABEL`` for MMAction2's
    ``VideoDataset``, ``classes.txt`` and ``meta.json``. The frames depend on
    ``config`` only, not on ``num_workers``; a call with larger ``num_clips``
    adds clips to those of an earlier call.

    Args:
        config: Parameters of the data set.
        out_dir: Directory to write to; made if missing.
        num_clips: Number of clips for each of train, val and test, each at
            least the number of classes.
        num_workers: Processes that render; 0 renders in this process.
        overwrite: Remove a data set with other parameters first.
        progress: Show a progress bar.

    Returns:
        The number of clips rendered now.

    Raises:
        ValueError: ``num_clips`` or ``num_workers`` is not allowed.
        FileExistsError: ``out_dir`` holds something else, or a data set with
            other parameters and ``overwrite`` is false.
        OSError: A video cannot be written.
    """
    num_classes = len(config.classes)
    for split in SPLITS:
        count = num_clips.get(split, 0)
        check(f'num_{split}', count, count >= num_classes,
              f'be at least {num_classes}, the number of classes')
    check('num_workers', num_workers, num_workers >= 0, 'be 0 or more')

    _prepare(config, out_dir, overwrite)
    jobs: list[Job] = []
    for split in SPLITS:
        for index in range(num_clips[split]):
            path = os.path.join(out_dir, _video_name(split, index))
            if not os.path.exists(path):
                jobs.append((config, split, index, path))
    _run(jobs, num_workers, progress)

    # The lists come last: who finds them finds all their videos.
    for split in SPLITS:
        write_lines(os.path.join(out_dir, f'{split}.txt'), (
            f'{_video_name(split, index)} {index % num_classes}'
            for index in range(num_clips[split])))
    write_lines(os.path.join(out_dir, 'classes.txt'), class_names(config))
    return len(jobs)


def write_video(path: str, frames: np.ndarray, fps: int) -> None:
    """Write an mp4 file in one step: it is whole or absent.

    Args:
        path: File to write, ending in ``.mp4``.
        frames: uint8, shape (T, H, W, 3), BGR.
        fps: Frames per second.

    Raises:
        OSError: OpenCV cannot write the file.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f'.tmp{os.getpid()}_{name}')
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(temporary, cv2.VideoWriter_fourcc(*'mp4v'), fps,
                             (width, height))
    try:
        if not writer.isOpened():
            raise OSError(f'{path} cannot be written: OpenCV found no mp4v '
                          'encoder or no write permission.')
        for frame in frames:
            writer.write(frame)
        writer.release()
        os.replace(temporary, path)
    finally:
        writer.release()
        _remove(temporary)


def _video_name(split: str, index: int) -> str:
    return f'videos/{split}_{index:05d}.mp4'


def _prepare(config: SynthDiveConfig, out_dir: str, overwrite: bool) -> None:
    """Make ``out_dir`` ready, or refuse it."""
    meta_path = os.path.join(out_dir, META_FILE)
    wanted = dict(format_version=FORMAT_VERSION, **config.to_dict())
    if os.path.isfile(meta_path):
        found = _read_meta(meta_path)
        if found != wanted:
            if not overwrite:
                names = sorted(key for key in {*wanted, *found}
                               if found.get(key) != wanted.get(key))
                raise FileExistsError(
                    f'{out_dir} holds a SynthDive data set with another '
                    f"{', '.join(names)}: pass overwrite to replace it or "
                    'choose another directory.')
            shutil.rmtree(os.path.join(out_dir, 'videos'), ignore_errors=True)
            for split in SPLITS:
                _remove(os.path.join(out_dir, f'{split}.txt'))
            os.remove(meta_path)
    elif os.path.isdir(out_dir) and os.listdir(out_dir):
        raise FileExistsError(
            f'{out_dir} is not empty and holds no SynthDive data set: choose '
            'an empty or new directory.')
    videos = os.path.join(out_dir, 'videos')
    # The parameters come first, so that a stopped run can be continued.
    os.makedirs(out_dir, exist_ok=True)
    write_lines(meta_path, [json.dumps(wanted, indent=2)])
    os.makedirs(videos, exist_ok=True)
    for name in os.listdir(videos):
        if name.startswith('.tmp'):  # left by a run that was killed
            _remove(os.path.join(videos, name))


def _read_meta(path: str) -> dict:
    with suppress(ValueError), open(path, encoding='utf-8') as file:
        return json.load(file)
    return {}


def _run(jobs: list[Job], num_workers: int, progress: bool) -> None:
    if not jobs:
        return
    columns = (TextColumn('{task.description}'), BarColumn(),
               MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task('SynthDive clips', total=len(jobs))
        if num_workers == 0:
            for job in jobs:
                _write_clip(job)
                bar.advance(task)
            return
        with multiprocessing.Pool(num_workers, _start_worker) as pool:
            for _ in pool.imap_unordered(_write_clip, jobs, chunksize=4):
                bar.advance(task)


def _start_worker() -> None:
    leave_signals_to_parent()
    cv2.setNumThreads(1)


def _write_clip(job: Job) -> None:
    config, split, index, path = job
    frames = render_clip(sample_clip(config, split, index), config.size)
    write_video(path, frames, config.fps)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.remove(path)
