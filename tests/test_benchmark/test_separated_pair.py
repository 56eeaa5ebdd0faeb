import cv2

from dsts_mmaction.benchmark.separated_pair import (
    counts,
    draw_separated_pair,
    separated_pair,
)
from dsts_mmaction.datasets import SynthDiveConfig

LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2]
BEFORE = [0, 1, 2, 1, 0, 0, 1, 0, 0]
AFTER = [0, 1, 2, 1, 0, 0, 0, 1, 1]


def test_pair_by_hand():
    pair = separated_pair(LABELS, BEFORE, AFTER)
    # 0 and 2 fell from 2 to 1, 1 and 2 rose from 0 to 1.
    assert pair.change == (0, 1, 4, 2)
    assert pair.num_clips == 6
    assert pair.shown == [6, 7]  # confused before and recognized now
    assert counts(pair, ['A', 'B']) == '4 of 6 by A, 2 of 6 by B'


def test_pair_that_rose_more_is_passed_over():
    labels, before, after = [0, 1, 2, 2], [0, 0, 2, 2], [0, 1, 1, 1]
    pair = separated_pair(labels, before, after)
    assert pair.change == (0, 1, 1, 0)
    assert pair.shown == [0, 1]
    # The other way round, it is the one that fell.
    assert separated_pair(labels, after, before).change == (1, 2, 2, 0)


def test_none_fell():
    assert separated_pair(LABELS, BEFORE, BEFORE) is None
    assert separated_pair(LABELS, LABELS, BEFORE) is None


def test_picture_shows_the_clips(tmp_path):
    pair = separated_pair(LABELS, BEFORE, AFTER)
    path = str(tmp_path / 'new' / 'pair.png')
    config = SynthDiveConfig(directions=('forward', ), somersaults=(1, ))
    draw_separated_pair(config, pair, dict(A=BEFORE, B=AFTER), path)
    image = cv2.imread(path)
    assert image.shape[1] > 2 * image.shape[0]
    assert len(set(map(tuple, image.reshape(-1, 3)))) > 1000
    assert len(list((tmp_path / 'new').iterdir())) == 1
