"""One run of the benchmark in a process of its own: train, validate, test.

``python -m dsts_mmaction.benchmark.worker RUN_DIR [PARENT]`` finds
``config.py`` and ``job.json`` there and goes on where it was, as long as the
process PARENT has not ended::

    RUN_DIR/epoch_N.pth           the newest; weights only in the end
    RUN_DIR/started.py            the config as MMEngine got it
    RUN_DIR/TIME/                 logs of MMEngine
    RUN_DIR/training.json         peak memory
    RUN_DIR/val_scores.npz        scores and labels, in the list's order
    RUN_DIR/test_scores.npz
    RUN_DIR/result.json           a row of results.json
"""
import json
import math
import multiprocessing
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import nn

from ..deploy.fusing import fuse_dsts
from ..utils.atomic import write_atomically, write_json
from ..utils.flops import count_flops
from ..utils.memory import peak_memory
from ..utils.training_log import (
    is_trained,
    last_checkpoint,
    median_iter_time,
    read_scalars,
)
from .jobs import STARTED
from .scores import accuracies, read_scores, top1


def run_job(run_dir: Path) -> None:
    """Run what is left of a run.

    Raises:
        RuntimeError: The loss of the last epoch is not finite, or there are
            no weights any more to start from.
    """
    job = json.loads((run_dir / 'job.json').read_text())
    cfg = Config.fromfile(run_dir / 'config.py')
    # MMEngine writes to a file of this name, which must not be the one that
    # a benchmark compares: killed meanwhile, it would leave half of it.
    cfg = Config(cfg.to_dict(), cfg_text=cfg.text,
                 filename=str(run_dir / STARTED))
    cfg.work_dir = str(run_dir)
    epochs = cfg.train_cfg.max_epochs
    trained = is_trained(cfg.work_dir, epochs)
    checkpoint = last_checkpoint(cfg.work_dir)
    if checkpoint:
        cfg.load_from, cfg.resume = checkpoint, not trained
    else:
        cfg.load_from = _first_weights(run_dir, job, cfg)
        cfg.resume = False
    for split in ('val', 'test'):
        if cfg.get(f'{split}_evaluator'):
            cfg[f'{split}_evaluator'].scores_file = str(
                run_dir / f'{split}_scores.npz')
    runner = Runner.from_cfg(cfg)
    # Before anything is trained, so that a model that cannot be measured
    # does not fail at the end.
    flops = clip_flops(runner.model, cfg)
    if not trained:
        runner.train()
        write_json(run_dir / 'training.json',
                   dict(peak_memory_mb=round(peak_memory() / 2**20)))
    curve = training_curve(cfg.work_dir, job['first_epoch'])
    if not math.isfinite(curve[-1]['loss']):
        raise RuntimeError(f'the loss became {curve[-1]["loss"]}.')

    val_top1 = None
    if cfg.get('val_dataloader'):
        runner.val()
        val_top1 = top1(*read_scores(run_dir / 'val_scores.npz'))
        curve[-1]['val_top1'] = val_top1
    runner.test()
    scores, labels = read_scores(run_dir / 'test_scores.npz')
    keep_weights(run_dir, epochs)
    write_json(run_dir / 'result.json', dict(
        accuracies(scores, labels),
        val_top1=val_top1,
        parameters=sum(p.numel() for p in runner.model.parameters()
                       if p.requires_grad),
        flops=flops,
        seconds_per_iter=median_iter_time(read_scalars(cfg.work_dir)),
        peak_memory_mb=_measured_memory(run_dir),
        curve=curve))


def _first_weights(run_dir: Path, job: dict[str, Any],
                   cfg: Config) -> str | None:
    """Where a training starts from; None for what the model builds with."""
    if not job['start']:
        return cfg.get('load_from')
    start = os.path.normpath(run_dir / job['start'])
    checkpoint = last_checkpoint(start)
    if checkpoint is None:
        raise RuntimeError(
            f'{start} has no checkpoint any more to start from: remove that '
            'folder to train it again.')
    return checkpoint


def _measured_memory(run_dir: Path) -> int | None:
    """Peak memory in MB, None if training ended before it was written."""
    path = run_dir / 'training.json'
    if not path.is_file():
        return None
    return json.loads(path.read_text())['peak_memory_mb']


def clip_flops(model: nn.Module, cfg: Config) -> int:
    """:func:`count_flops` of a prediction for one training clip."""
    sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
    if isinstance(sample, list):  # augmented several times: RepeatAugDataset
        sample = sample[0]
    # What was chosen, and no more: as it would be deployed.
    deployed = fuse_dsts(model)
    return count_flops(lambda: deployed.test_step(pseudo_collate([sample])))


def training_curve(run_dir: str, first_epoch: int) -> list[dict[str, Any]]:
    """Mean loss, and validation where there was one, of every epoch.

    Epochs that were trained again after a stop count once, the last time.

    Args:
        run_dir: Work directory of the training.
        first_epoch: Epochs before the first of this training.
    """
    losses: dict[int, list[float]] = {}
    val: dict[int, float] = {}
    for records in read_scalars(run_dir):
        started = set()
        for record in records:
            if 'loss' in record and 'epoch' in record:
                epoch = record['epoch']
                if epoch not in started:
                    started.add(epoch)
                    losses[epoch] = []
                losses[epoch].append(record['loss'])
            elif 'acc/top1' in record:
                val[record['step']] = 100 * record['acc/top1']
    return [
        dict(epoch=first_epoch + epoch, loss=sum(values) / len(values),
             val_top1=val.get(epoch))
        for epoch, values in sorted(losses.items())
    ]


def keep_weights(run_dir: Path, epochs: int) -> None:
    """Keep the last checkpoint, without the optimizer's state, and no other.

    Other runs start from its weights; nothing resumes from it.
    """
    last = run_dir / f'epoch_{epochs}.pth'
    checkpoint = torch.load(last, map_location='cpu')
    for name in ('optimizer', 'param_schedulers'):
        checkpoint.pop(name, None)
    with write_atomically(last, 'wb') as file:
        torch.save(checkpoint, file)
    for path in run_dir.glob('epoch_*.pth'):
        if path != last:
            path.unlink()


def end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone, even killed.

    Otherwise a benchmark that is started again would train beside it.

    Args:
        parent: Its id. It may have ended during the imports of this module,
            after which another process is the parent.
    """
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        # A loading process that has only just been forked would take the next
        # parent for its own, and wait for ever.
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(args: list[str] | None = None) -> None:
    """The command line."""
    run_dir, *parent = args or sys.argv[1:]
    end_with_parent(int(parent[0]) if parent else os.getppid())
    run_job(Path(run_dir))


if __name__ == '__main__':
    main()
