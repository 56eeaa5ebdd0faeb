"""Groups from files and confusions, against plain loops."""
import json
import os
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsts_mmaction.evaluation.look_alike import (
    ClassPair,
    confusion_matrix,
    groups_from_confusions,
    most_confused_pairs,
    read_class_names,
    read_groups,
    within_group_accuracy,
)

NAMES = ['open', 'close', 'pretend, to open', '3', 'fold']
# Annotations of Something-Something V2, where there are any.
STHV2 = Path(os.environ.get('STHV2_ANNOTATIONS',
                            Path(__file__).parents[3] / 'shared' / 'data'
                            / 'annotations' / 'sthv2'))


@st.composite
def predictions(draw):
    """(scores, labels, groups) of random size; groups may overlap."""
    num_classes = draw(st.integers(2, 7))
    count = draw(st.integers(1, 20))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes = st.integers(0, num_classes - 1)
    groups = draw(st.lists(
        st.lists(classes, min_size=2, unique=True), max_size=4))
    return (random.normal(size=(count, num_classes)),
            random.integers(num_classes, size=count), groups)


@settings(deadline=None)
@given(predictions())
def test_within_group_is_the_mean_over_group_and_sample(case):
    scores, labels, groups = case
    hits = [max(group, key=lambda c: row[c]) == label
            for group in groups
            for row, label in zip(scores, labels) if label in group]
    measured = within_group_accuracy(scores, labels, groups)
    if hits:
        assert measured == pytest.approx(sum(hits) / len(hits))
    else:
        assert np.isnan(measured)


@settings(deadline=None)
@given(predictions())
def test_one_group_of_all_classes_is_top1(case):
    scores, labels, _ = case
    everything = [list(range(scores.shape[1]))]
    assert within_group_accuracy(scores, labels, everything) == \
        pytest.approx(np.mean(scores.argmax(1) == labels))


@settings(deadline=None)
@given(predictions(), st.integers(0, 30))
def test_pairs_are_sorted_and_complete(case, k):
    scores, labels, _ = case
    found, num_classes = scores.argmax(1).tolist(), scores.shape[1]
    confusion = confusion_matrix(found, labels, num_classes)
    counts = {}
    for truth, guess in zip(labels.tolist(), found):
        if truth != guess:
            pair = tuple(sorted((truth, guess)))
            counts[pair] = counts.get(pair, 0) + 1
    expected = sorted(counts, key=lambda pair: (-counts[pair], pair))[:k]
    assert most_confused_pairs(confusion, k) == [
        ClassPair(*pair, counts[pair]) for pair in expected]


def merge_by_hand(confusion, min_confusion):
    """Average linkage in plain loops."""
    parts = confusion / confusion.sum(axis=1, keepdims=True)

    def nearness(a, b):
        return np.mean([(parts[i, j] + parts[j, i]) / 2
                        for i in a for j in b])

    clusters = [[i] for i in range(len(confusion))]
    while len(clusters) > 1:
        a, b = max(combinations(clusters, 2), key=lambda ab: nearness(*ab))
        if nearness(a, b) < min_confusion:
            break
        clusters = [c for c in clusters if c not in (a, b)] + [sorted(a + b)]
    return sorted(c for c in clusters if len(c) > 1)


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32), st.floats(0.01, 0.5))
def test_groups_against_average_linkage_by_hand(num_classes, seed, bound):
    confusion = 1 + 1000 * np.random.default_rng(seed).gamma(
        0.3, size=(num_classes, num_classes))
    groups = groups_from_confusions(confusion, bound)
    assert groups == merge_by_hand(confusion, bound)


def test_groups_of_a_clear_case():
    confusion = np.diag([20, 90, 10, 50, 0])  # class 4 has no samples
    confusion[0, 2] = 2  # 1/11 one way, none the other: 4.5 %
    confusion[1, 3] = 10  # 10 % one way, none the other: 5 %
    assert groups_from_confusions(confusion) == [[1, 3]]
    assert groups_from_confusions(confusion, 0.045) == [[0, 2], [1, 3]]
    assert groups_from_confusions(np.zeros((1, 1))) == []
    with pytest.raises(ValueError, match='min_confusion must be above 0'):
        groups_from_confusions(confusion, 0)


def write(path, content):
    path.write_text(content if isinstance(content, str)
                    else json.dumps(content))
    return path


@pytest.mark.parametrize('name, content', [
    ('g.txt', '# 1\nopen\npretend, to open\n\n\n\nclose\n 3 \nfold\n'),
    ('g.txt', '\n0\n2\n# same\n\n1\n3\n4'),
    ('g.json', [['open', 'pretend, to open'], ['close', 3, 'fold']]),
])
def test_read_groups(tmp_path, name, content):
    path = write(tmp_path / name, content)
    assert read_groups(path, NAMES) == [[0, 2], [1, 3, 4]]


def test_names_go_before_labels(tmp_path):
    path = write(tmp_path / 'g.txt', '10\n20\n')
    assert read_groups(path, ['20', '10', 'x']) == [[1, 0]]
    assert read_groups(path) == [[10, 20]]


@pytest.mark.parametrize('name, content, message', [
    ('g.txt', 'open\nclose\n\nopen\nshut', "g.txt, line 5: .*0 to 4, .*shut"),
    ('g.txt', 'open\n5', "g.txt, line 2: .*0 to 4, got '5'"),
    ('g.txt', 'open\nclose\n\nopen\n', r'g.txt, line 4: .*two or more.*\[0\]'),
    ('g.txt', 'open\nopen\n', r'g.txt, line 1: .*different.*\[0, 0\]'),
    ('g.txt', '# nothing\n', 'g.txt holds no groups'),
    ('g.json', [[0, 1], [2, -1]], 'g.json, group 1: .*0 to 4, got -1'),
    ('g.json', [[0, True]], 'g.json, group 0: .*got True'),
    ('g.json', [[]], r'g.json, group 0: .*two or more'),
    ('g.json', [0, 1], 'g.json must hold a JSON list of lists'),
    ('g.json', '[[0, 1]', 'g.json is not JSON'),
])
def test_broken_groups_are_refused(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        read_groups(write(tmp_path / name, content), NAMES)


def test_names_in_groups_need_names(tmp_path):
    path = write(tmp_path / 'g.json', [['open', 'close']])
    with pytest.raises(ValueError, match='names need class names'):
        read_groups(path)


def test_read_class_names(tmp_path):
    mapping = {name: str(i) for i, name in enumerate(NAMES)}
    backwards = dict(reversed(mapping.items()))
    for file, content in [('n.txt', '\n'.join(NAMES) + '\n'),
                          ('n.json', NAMES), ('n.json', backwards)]:
        assert read_class_names(write(tmp_path / file, content)) == NAMES
    with pytest.raises(ValueError, match="n.txt holds 'b' twice"):
        read_class_names(write(tmp_path / 'n.txt', 'a\nb\nb\n'))
    with pytest.raises(ValueError, match='n.txt must hold names'):
        read_class_names(write(tmp_path / 'n.txt', 'a\n\nb\n'))
    for wrong in [[1, 2], dict(a=0, b=2), dict(a='x'), 3]:
        with pytest.raises(ValueError, match='n.json must hold names'):
            read_class_names(write(tmp_path / 'n.json', wrong))


@pytest.mark.skipif(not STHV2.is_dir(), reason='no annotations of sthv2')
def test_something_something():
    names = read_class_names(STHV2 / 'something-something-v2-labels.json')
    assert len(names) == 174
    path = STHV2 / 'contrastive_groups_list.txt'
    groups = read_groups(path, names)
    assert len(groups) == 69
    # Paragraphs of names, read another way.
    text = re.sub('^#.*\n', '', path.read_text(), flags=re.M).strip()
    blocks = [block.split('\n') for block in re.split(
        r'\n(?:\s*\n)+', text)]
    assert [[names[label] for label in group] for group in groups] == [
        [line.strip() for line in block] for block in blocks]
    assert max(map(len, groups)) == 6
