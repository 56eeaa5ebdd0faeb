"""The metric in MMEngine's evaluator, against AccMetric and plain loops."""
import json

import numpy as np
import pytest
import torch
from mmaction.evaluation import AccMetric
from mmaction.registry import METRICS
from mmaction.structures import ActionDataSample
from mmengine.evaluator import Evaluator

from dsts_mmaction.evaluation import FineGrainedMetric, fine_grained_metric

GROUPS = [[0, 3], [1, 2, 4]]


def random_samples(count, num_classes=6, views=None, dtype=torch.float32):
    shape = (num_classes, ) if views is None else (views, num_classes)
    samples = [
        ActionDataSample().set_gt_label(int(torch.randint(num_classes, ())))
        .set_pred_score(torch.randn(num_classes)) for _ in range(count)
    ]
    for sample in samples:
        sample.set_data(dict(pred_score=torch.randn(shape).to(dtype)))
    return samples


def evaluate(metric, samples, batch_size=4):
    evaluator = Evaluator(metric)
    for i in range(0, len(samples), batch_size):
        evaluator.process(samples[i:i + batch_size])
    return evaluator.evaluate(len(samples))


def arrays(samples):
    return (np.stack([s.pred_score.float().reshape(-1, 6).mean(0).numpy()
                      for s in samples]),
            np.array([int(s.gt_label) for s in samples]))


def within_group(scores, labels):
    hits = []
    for row, label in zip(scores, labels):
        for group in GROUPS:
            if label in group:
                hits.append(max(group, key=lambda c: row[c]) == label)
    return sum(hits) / len(hits)


def test_registered():
    metric = METRICS.build(dict(type='FineGrainedMetric', groups=GROUPS))
    assert type(metric) is FineGrainedMetric


def test_same_as_acc_metric_and_a_loop():
    samples = random_samples(50)
    ours = evaluate(FineGrainedMetric(groups=GROUPS), samples)
    theirs = evaluate(AccMetric(), samples)
    assert {k: ours[k] for k in theirs} == pytest.approx(theirs)
    assert set(ours) - set(theirs) == {'fine/within_group'}
    assert ours['fine/within_group'] == pytest.approx(
        within_group(*arrays(samples)))
    assert all(type(value) is float for value in ours.values())


def test_of_equal_scores_the_first_class_counts():
    samples = random_samples(40)
    for sample in samples:  # three values among six classes
        sample.set_data(dict(pred_score=torch.randint(3, (6, )).float()))
    metrics = evaluate(FineGrainedMetric(topk=(1, 2)), samples)
    ranked = [(sorted(range(6), key=lambda c: -row[c]), label)
              for row, label in zip(*arrays(samples))]
    for k in (1, 2):
        assert metrics[f'acc/top{k}'] == pytest.approx(
            np.mean([label in order[:k] for order, label in ranked]))
    recalls = [np.mean([order[0] == c for order, label in ranked
                        if label == c] or [0])
               for c in {c for order, label in ranked
                         for c in (order[0], label)}]
    assert metrics['acc/mean1'] == pytest.approx(np.mean(recalls))


def test_no_groups_no_within_group():
    metrics = evaluate(FineGrainedMetric(), random_samples(9))
    assert set(metrics) == {'acc/top1', 'acc/top5', 'acc/mean1'}


@pytest.mark.parametrize('views', [None, 3])
def test_files(tmp_path, views):
    samples = random_samples(30, views=views, dtype=torch.bfloat16)
    out, npz = tmp_path / 'sub' / 'out.json', tmp_path / 'scores.npz'
    metrics = evaluate(
        FineGrainedMetric(groups=GROUPS, out_file=str(out),
                          scores_file=str(npz)), samples)
    scores, labels = arrays(samples)
    written = json.loads(out.read_text())
    assert written['metrics'] == metrics
    assert written['labels'] == labels.tolist()
    assert written['predictions'] == scores.argmax(1).tolist()
    assert metrics['acc/top1'] == pytest.approx(
        np.mean(scores.argmax(1) == labels))
    for i in range(6):
        for j in range(6):
            assert written['confusion'][i][j] == np.sum(
                (labels == i) & (scores.argmax(1) == j))
    with np.load(npz, allow_pickle=False) as arrays_:
        np.testing.assert_allclose(arrays_['scores'], scores, rtol=1e-6)
        np.testing.assert_array_equal(arrays_['labels'], labels)
    assert sorted(p.name for p in tmp_path.rglob('*')) == [
        'out.json', 'scores.npz', 'sub']


def test_groups_and_names_from_files(tmp_path, monkeypatch):
    (tmp_path / 'names.txt').write_text('a\nb\nc\nd\ne\nf\n')
    (tmp_path / 'groups.txt').write_text('a\nd\n\nb\nc\ne\n')
    samples = random_samples(20)
    for sample in samples:  # class b is always taken for c
        sample.set_gt_label(1)
        sample.set_data(dict(pred_score=torch.eye(6)[2]))
    metric = FineGrainedMetric(groups=str(tmp_path / 'groups.txt'),
                               class_names=str(tmp_path / 'names.txt'))
    assert metric.groups == GROUPS
    logged = []
    monkeypatch.setattr(fine_grained_metric, 'print_log',
                        lambda message, logger: logged.append(message))
    metrics = evaluate(metric, samples)
    assert metrics['fine/within_group'] == 0
    assert logged == ['Most confused pairs of classes (clips): b / c (20)']


def test_refusals():
    with pytest.raises(ValueError, match='scores_file must end with .npz'):
        FineGrainedMetric(scores_file='scores.txt')
    samples = random_samples(3)
    with pytest.raises(ValueError, match=r'groups\[1\].* 0 to 5, .*\[0, 6\]'):
        evaluate(FineGrainedMetric(groups=[[0, 1], [0, 6]]), samples)
    samples[1].set_gt_label(6)
    with pytest.raises(ValueError, match='labels must be from 0 to 5'):
        evaluate(FineGrainedMetric(), samples)
    samples[1].set_gt_label([1, 2])
    with pytest.raises(ValueError, match='one label.*got 2 label'):
        evaluate(FineGrainedMetric(), samples)
