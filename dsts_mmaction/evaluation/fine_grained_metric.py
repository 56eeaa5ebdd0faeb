"""Accuracy where classes look alike, for any config of MMAction2."""
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.evaluation import mean_class_accuracy
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ..utils.atomic import write_atomically, write_json
from .look_alike import (
    Groups,
    check_groups,
    confusion_matrix,
    most_confused_pairs,
    ranked_hits,
    read_class_names,
    read_groups,
    within_group_accuracy,
)


@METRICS.register_module()
class FineGrainedMetric(BaseMetric):
    """Top-k, mean class and within-group accuracy::

        test_evaluator = dict(
            type='FineGrainedMetric', groups='contrastive_groups_list.txt',
            class_names='something-something-v2-labels.json')

    ``acc/top1``, ``acc/top5`` and ``acc/mean1`` are those of MMAction2's
    AccMetric. ``fine/within_group``, if there are groups, is
    :func:`~dsts_mmaction.evaluation.within_group_accuracy`. All are parts of
    1. The most confused pairs of classes go to the log.

    Scores of several views that the head left apart (``average_clips=None``)
    are averaged.

    Args:
        groups: Groups of look-alike classes: lists of labels, or a file
            (:func:`~dsts_mmaction.evaluation.read_groups`).
        class_names: Names in the order of the labels, or a file
            (:func:`~dsts_mmaction.evaluation.read_class_names`). For the
            log, and for names in ``groups``.
        topk: The k of top-k accuracies.
        num_pairs: How many pairs are logged.
        out_file: JSON file for the metrics, labels, predictions and
            confusion matrix (rows are labels).
        scores_file: File with suffix ``.npz`` for ``scores``, float32
            ``(num_samples, num_classes)``, and ``labels``.
        collect_device: See MMEngine's BaseMetric.
        prefix: Put before all names. None by default.

    Raises:
        ValueError: A broken file; at the end of a test, several labels per
            sample, or labels or groups that are out of range.
    """

    # Not None, which would warn: the names have prefixes of their own.
    default_prefix = ''

    def __init__(self,
                 groups: None | str | Groups = None,
                 class_names: None | str | Sequence[str] = None,
                 topk: Sequence[int] = (1, 5),
                 num_pairs: int = 5,
                 out_file: str | None = None,
                 scores_file: str | None = None,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if scores_file and not scores_file.endswith('.npz'):
            raise ValueError('scores_file must end with .npz, got '
                             f'{scores_file!r}.')
        if isinstance(class_names, (str, os.PathLike)):
            class_names = read_class_names(class_names)
        if isinstance(groups, (str, os.PathLike)):
            groups = read_groups(groups, class_names)
        self.groups = groups
        self.class_names = class_names
        self.topk = tuple(topk)
        self.num_pairs = num_pairs
        self.out_file = out_file
        self.scores_file = scores_file

    def process(self, data_batch: Any,
                data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the scores and the label of every sample of a batch."""
        for sample in data_samples:
            scores, label = sample['pred_score'], sample['gt_label']
            if isinstance(scores, dict) or label.numel() != 1:
                raise ValueError(
                    'FineGrainedMetric needs one label and one tensor of '
                    'scores per sample, got '
                    f'{label.numel()} label(s) and {type(scores).__name__}.')
            # numpy has no bfloat16.
            scores = scores.detach().float().cpu()
            self.results.append(
                dict(
                    scores=scores.reshape(-1, scores.size(-1)).mean(0).numpy(),
                    label=int(label)))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """The metrics of all samples, in the order of the data set."""
        scores = np.stack([result['scores'] for result in results])
        labels = np.array([result['label'] for result in results])
        num_classes = scores.shape[1]
        if labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(
                f'labels must be from 0 to {num_classes - 1}, the number of '
                f'scores, got {labels.min()} to {labels.max()}.')
        hits = ranked_hits(scores, labels)
        metrics = {f'acc/top{k}': float(hits[:, :k].any(axis=1).mean())
                   for k in self.topk}
        metrics['acc/mean1'] = float(mean_class_accuracy(scores, labels))
        if self.groups is not None:
            check_groups(self.groups, num_classes)
            metrics['fine/within_group'] = within_group_accuracy(
                scores, labels, self.groups)

        predictions = scores.argmax(axis=1)
        confusion = confusion_matrix(predictions, labels, num_classes)
        self._log_pairs(confusion)
        if self.out_file:
            write_json(self.out_file,
                       dict(metrics=metrics, labels=labels.tolist(),
                            predictions=predictions.tolist(),
                            confusion=confusion.tolist()))
        if self.scores_file:
            with write_atomically(self.scores_file, 'wb') as file:
                np.savez_compressed(file, scores=scores, labels=labels)
        return metrics

    def _log_pairs(self, confusion: np.ndarray) -> None:
        pairs = [
            f'{self._name(pair.first)} / {self._name(pair.second)} '
            f'({pair.count})'
            for pair in most_confused_pairs(confusion, self.num_pairs)
        ]
        if pairs:
            print_log('Most confused pairs of classes (clips): '
                      + ', '.join(pairs), logger='current')

    def _name(self, label: int) -> str:
        if self.class_names is None or label >= len(self.class_names):
            return str(label)
        return self.class_names[label]
