import pytest

from dsts_mmaction.utils.annotation_lists import read_labels, read_list


def test_broken_lists(tmp_path):
    path = tmp_path / 'list.txt'
    with pytest.raises(ValueError, match='cannot be read: No such'):
        read_list(str(path))
    path.write_text('\n')
    with pytest.raises(ValueError, match='is empty'):
        read_list(str(path))
    path.write_text('a.mp4 1\nframes/b 30 3\n')
    assert read_labels(str(path), 4) == [1, 3]
    with pytest.raises(ValueError, match="line 2, .* 0 to 2, got 'fram"):
        read_labels(str(path), 3)
