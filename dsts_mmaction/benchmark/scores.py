"""Numbers of one run from its saved scores."""
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.evaluation import mean_class_accuracy

from ..evaluation.look_alike import confusion_matrix, ranked_hits


def read_scores(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``(num_clips, num_classes)`` and labels ``(num_clips,)``."""
    with np.load(path, allow_pickle=False) as file:
        return file['scores'], file['labels']


def top1(scores: np.ndarray, labels: np.ndarray) -> float:
    """Percent."""
    return 100 * float((scores.argmax(1) == labels).mean())


def confusions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts, rows are labels."""
    return confusion_matrix(scores.argmax(1), labels, scores.shape[1])


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Accuracies in percent, confusions, and which clips were right."""
    hits = ranked_hits(scores, labels)
    return dict(
        top1=top1(scores, labels),
        top5=100 * float(hits[:, :5].any(axis=1).mean()),
        mean_class=100 * float(mean_class_accuracy(scores, labels)),
        confusion=confusions(scores, labels).tolist(),
        correct=''.join('01'[int(r)] for r in hits[:, 0]))
