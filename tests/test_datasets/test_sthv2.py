import pytest

from dsts_mmaction.datasets.prepare import read_sthv2
from tests.test_datasets.preparing import names_in, run_tool, write_json

LABELS = {'Juggling something': '1', 'Hiding something in something': '0'}


def clip(number, template='Juggling [something]'):
    return dict(id=str(number), label='juggling a cup', template=template,
                placeholders=['a cup'])


TRAIN = [clip(1), clip(2, 'Hiding [something] in [something]'), clip(3)]
VAL = [clip(4)]
FIRST = 'something-something-v2-{}.json'


def write_files(folder, train=TRAIN, val=VAL, labels=LABELS, names=FIRST):
    for name, value in dict(labels=labels, train=train,
                            validation=val).items():
        if value is not None:
            write_json(folder / names.format(name), value)
    return folder


@pytest.mark.parametrize('names', [FIRST, '{}.json'])
def test_lists_and_classes(tmp_path, monkeypatch, names):
    notes = write_files(tmp_path / 'annotations', names=names)
    write_json(notes / names.format('test'), [dict(id='5')])
    out = tmp_path / 'out'
    run_tool(monkeypatch, 'sthv2', '--annotations', notes, '--out', out,
             '--prefix', '')
    assert names_in(out) == ['classes.txt', 'train.txt', 'val.txt']
    assert (out / 'train.txt').read_text() == '1.webm 1\n2.webm 0\n3.webm 1\n'
    assert (out / 'val.txt').read_text() == '4.webm 1\n'
    assert (out / 'classes.txt').read_text() == (
        'Hiding something in something\nJuggling something\n')


def test_one_split_by_its_file(tmp_path, monkeypatch):
    notes = write_files(tmp_path / 'annotations', train=None)
    with pytest.raises(ValueError, match=r'no something-something-v2-train'
                       r'\.json or train\.json; --train or --val alone'):
        read_sthv2(str(notes))
    run_tool(monkeypatch, 'sthv2', '--labels', notes / FIRST.format('labels'),
             '--val', notes / FIRST.format('validation'), '--out',
             tmp_path / 'out')
    assert names_in(tmp_path / 'out') == ['classes.txt', 'val.txt']
    with pytest.raises(ValueError, match='--labels or --annotations must be'):
        read_sthv2(val=str(notes / FIRST.format('validation')))


@pytest.mark.parametrize('record, message', [
    (clip(9, 'Eating [something]'), r"template 'Eating .* is no class of .*"
     'labels.json'),
    (clip(9, 7), 'template 7 is no class'),
    (clip(9, ['Juggling something']), 'is no class'),
    (clip(2), "'2' is in record 2 already"),
    (clip('../9'), "below the folder .* got '../9'"),
    (dict(clip(9), id=9), 'got 9'),
    (dict(id='9'), "has no 'template'"),
    (dict(template='Juggling [something]'), "has no 'id'"),
])
def test_wrong_records_are_named(tmp_path, record, message):
    write_files(tmp_path, [*TRAIN, record])
    with pytest.raises(ValueError, match=message) as caught:
        read_sthv2(str(tmp_path))
    assert 'v2-train.json, record 4' in str(caught.value)


def test_splits_are_apart_and_not_empty(tmp_path):
    write_files(tmp_path, val=[clip(3)])
    with pytest.raises(ValueError, match="'3' is in both .*train.*validation"):
        read_sthv2(str(tmp_path))
    write_files(tmp_path, val=[])
    with pytest.raises(ValueError, match='validation.json holds no clips'):
        read_sthv2(str(tmp_path))


@pytest.mark.parametrize('labels', [
    {'a': '0', 'b': '0'}, {'a': '1'}, {'a': 'x'}, {'a': -1}, {'a': 0.0},
    {'a': True}, {'a': '0', ' ': '1'}, {'a\nb': '0'}, {}, ['a']])
def test_wrong_labels_are_named(tmp_path, labels):
    write_files(tmp_path, labels=labels)
    with pytest.raises(ValueError, match='v2-labels.json.* must'):
        read_sthv2(str(tmp_path))


def test_labels_may_be_numbers(tmp_path):
    write_files(tmp_path, labels={k: int(v) for k, v in LABELS.items()})
    found = read_sthv2(str(tmp_path))
    assert [c.label for c in found.splits[0].clips] == [1, 0, 1]
