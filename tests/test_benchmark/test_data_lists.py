import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsts_mmaction.benchmark.data_lists import Lists, split_fold, write_fold
from dsts_mmaction.benchmark.error import BenchmarkError
from dsts_mmaction.utils.annotation_lists import read_list

PATTERN = r'_s(\d+)_'


def subjects(lines):
    return {re.search(PATTERN, line).group(1) for line in lines}


@given(st.lists(st.integers(1, 30), min_size=2, max_size=60), st.data())
def test_folds_are_disjoint_in_subjects_and_cover_everything(people, data):
    lines = [f'videos/c{i}_s{p}_.mp4 {i % 3}' for i, p in enumerate(people)]
    distinct = len(set(people))
    if distinct < 2:
        return
    num_folds = data.draw(st.integers(2, distinct))
    tested = []
    for fold in range(1, num_folds + 1):
        train, test = split_fold(lines, PATTERN, fold, num_folds)
        assert not subjects(train) & subjects(test)
        assert sorted(train + test) == sorted(lines)
        assert test
        tested += test
    assert sorted(tested) == sorted(lines)


def test_fold_never_opens_the_test_list(tmp_path):
    for name, people in (('train', '12'), ('val', '3')):
        (tmp_path / f'{name}.txt').write_text(
            ''.join(f'c_s{p}_.mp4 0\n' for p in people))
    lists = Lists(str(tmp_path / 'train.txt'), str(tmp_path / 'val.txt'),
                  str(tmp_path / 'there_is_none.txt'))
    fold = write_fold(lists, PATTERN, 2, 3, str(tmp_path / 'fold'))
    assert fold.val is None
    assert read_list(fold.test) == ['c_s2_.mp4 0']
    assert subjects(read_list(fold.train)) == {'1', '3'}


def test_fold_leaves_out_a_validation_list_that_is_the_test_list(tmp_path):
    (tmp_path / 'train.txt').write_text('c_s1_.mp4 0\nc_s2_.mp4 0\n')
    absent = tmp_path / 'there_is_none.txt'
    lists = Lists(str(tmp_path / 'train.txt'), str(absent),
                  str(tmp_path / '.' / 'fold' / '..' / absent.name))
    fold = write_fold(lists, PATTERN, 1, 2, str(tmp_path / 'fold'))
    assert read_list(fold.train) == ['c_s2_.mp4 0']


@pytest.mark.parametrize('fold, num_folds', [(0, 2), (3, 2), (1, 1), (1, 4)])
def test_wrong_fold(fold, num_folds):
    lines = [f'c_s{p}_.mp4 0' for p in '123']
    with pytest.raises(BenchmarkError, match='2 <= N <= 3'):
        split_fold(lines, PATTERN, fold, num_folds)


@pytest.mark.parametrize('pattern', [r'_p(\d+)_', r'_s\d+_'])
def test_pattern_without_subject(pattern):
    with pytest.raises(BenchmarkError, match="got .* for 'c_s1_.mp4'"):
        split_fold(['c_s1_.mp4 0', 'c_s2_.mp4 0'], pattern, 1, 2)


def test_pattern_that_is_none():
    with pytest.raises(BenchmarkError, match='must be a regular expression, '
                       r"got '_s\(': missing \)"):
        split_fold(['c_s1_.mp4 0', 'c_s2_.mp4 0'], '_s(', 1, 2)
