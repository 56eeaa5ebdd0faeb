import pytest
from mmaction.registry import DATASETS
from mmaction.utils import register_all_modules

from dsts_mmaction.datasets.prepare import read_diving48
from tests.test_datasets.preparing import (
    TRAIN,
    dive,
    names_in,
    run_tool,
    write_diving48,
    write_json,
)


def test_lists_and_classes(tmp_path, monkeypatch, capsys):
    """As MMAction2 reads them."""
    notes = write_diving48(tmp_path / 'annotations')
    out = tmp_path / 'out'
    run_tool(monkeypatch, 'diving48', '--annotations', notes, '--out', out)
    assert names_in(out) == ['classes.txt', 'test.txt', 'train.txt']
    assert (out / 'train.txt').read_text() == (
        'videos/-a_00001.mp4 2\nvideos/b_00001.mp4 0\nvideos/b_00002.mp4 2\n')
    assert (out / 'test.txt').read_text() == (
        'videos/c_00001.mp4 1\nvideos/c_00002.mp4 0\n')
    assert (out / 'classes.txt').read_text().splitlines() == [
        'back, 7.5 somersaults, 0.5 twists, free',
        'sideways, dive, no twist, pike',
        'forward, 1 somersault, 1 twist, straight']
    table = capsys.readouterr().out
    assert 'train' in table and '2 of 3' in table

    register_all_modules()
    dataset = DATASETS.build(
        dict(type='VideoDataset', ann_file='test.txt', pipeline=[],
             data_root=str(out), data_prefix=dict(video='')))
    info = dataset.get_data_info(0)
    assert info['filename'].endswith('videos/c_00001.mp4')
    assert info['label'] == 1


@pytest.mark.parametrize('record, message', [
    (dive('d', 3), "record 4: the label of 'd' must be .* 0 to 2, got 3"),
    (dive('d', -1), 'from 0 to 2, got -1'),
    (dive('d', '1'), "from 0 to 2, got '1'"),
    (dive('d', True), 'from 0 to 2, got True'),
    (dive('b_00001', 0), "record 4: 'b_00001' is in record 2 already"),
    (dive('../d', 0), "record 4: the name .* below .* got '../d'"),
    (dive('a/../../d', 0), 'below'),
    (dive('/etc/d', 0), 'below'),
    (dive('C:\\d', 0), 'below'),
    (dive('..\\d', 0), 'below'),
    (dive('d e', 0), 'white space'),
    (dive('d\n', 0), 'white space'),
    (dive('', 0), 'below'),
    (dive(7, 0), 'got 7'),
    (dict(label=0), "record 4 has no 'vid_name'"),
    (dict(vid_name='d'), "record 4 has no 'label'"),
    ([1], r'record 4 must be a JSON object, got \[1\]')
])
def test_wrong_records_are_named(tmp_path, record, message):
    write_diving48(tmp_path, train=[*TRAIN, record])
    with pytest.raises(ValueError, match=message) as caught:
        read_diving48(str(tmp_path))
    assert 'Diving48_V2_train.json, record 4' in str(caught.value)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(ValueError, match='has no Diving48_vocab.json'):
        read_diving48(str(tmp_path))
    for test, message in (
            ([], 'V2_test.json holds no clips'),
            (TRAIN[:1], "'-a_00001' is in both .*V2_train"),
            (dict(a=1), 'V2_test.json must hold a JSON list')):
        write_diving48(tmp_path, test=test)
        with pytest.raises(ValueError, match=message):
            read_diving48(str(tmp_path))


@pytest.mark.parametrize('text, message', [
    ('[{"vid_name": "a", ', 'is not valid JSON: '),
    ('[{"vid_name": "a", "label": 1, "label": 2}]', "the key 'label' twice"),
    ('[' * 100000, 'is not valid JSON: '),
    (b'\xff\xfe', 'is not a text file in UTF-8'),
])
def test_broken_json(tmp_path, text, message):
    write_diving48(tmp_path)
    path = tmp_path / 'Diving48_V2_test.json'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f'V2_test.json .*{message}'):
        read_diving48(str(tmp_path))


@pytest.mark.parametrize('vocabulary, message', [
    ([['Back'], ['Back']], "classes 0 and 1 have the same name, 'back'"),
    ([['Back'], []], r'class 1 must be a list of words, got \[\]'),
    ([['Back'], 'Back'], 'class 1 must be'),
    ({}, 'must hold a JSON list'),
    ([], 'holds no classes'),
])
def test_wrong_vocabulary(tmp_path, vocabulary, message):
    write_diving48(tmp_path)
    write_json(tmp_path / 'Diving48_vocab.json', vocabulary)
    with pytest.raises(ValueError, match=f'Diving48_vocab.json.*{message}'):
        read_diving48(str(tmp_path))
