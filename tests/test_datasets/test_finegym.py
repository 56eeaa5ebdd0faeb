import csv

import pytest

from dsts_mmaction.datasets.prepare import read_finegym
from dsts_mmaction.evaluation.look_alike import read_class_names
from tests.test_datasets.preparing import names_in, run_tool, write_json

ONE = 'madeupvid_1_E_000100_000110_A_0001_0002'
TWO = 'madeupvid_1_E_000100_000110_A_0003_0009'
OTHER = '-adeupvid2_E_000007_000009_A_0000_0001'
STAGES = [[3.5, 4.0], [4.0, 6.25], [6.25, 9.125]]
SEGMENTS = {'A_0001_0002': dict(stages=1, timestamps=[[1.25, 2.5]]),
            'A_0003_0009': dict(stages=3, timestamps=STAGES)}


def write_lists(folder, train=f'{ONE} 0\n{TWO} 98\n', val=f'{OTHER} 98\n',
                names='{}_{}_org.txt'):
    folder.mkdir(exist_ok=True)
    for name in ('gym99', 'gym288'):
        (folder / names.format(name, 'train')).write_text(train)
        (folder / names.format(name, 'val')).write_text(val)
    return folder


def write_events(folder):
    write_json(folder / 'event_annotation.json', {
        ONE[:-12]: SEGMENTS,
        OTHER[:-12]: {'A_0000_0001': dict(stages=1, timestamps=[[0, 1]])}})


def write_info(folder):
    event = dict(event=1, timestamps=[[100.5, 110.25]], segments=SEGMENTS)
    write_json(folder / 'finegym_annotation_info_v1.1.json', {
        'madeupvid_1': {'E_000100_000110': event},
        OTHER[:11]: {'E_000007_000009': dict(
            event=2, timestamps=[[7.0, 9.0]], segments=None)}})


def test_lists_and_segments_of_event_clips(tmp_path, monkeypatch, capsys):
    notes = write_lists(tmp_path / 'annotations')
    write_events(notes)
    # Made from the others, with a suffix of its own: not to be read.
    (notes / 'gym99_train.txt').write_text('something.avi 3\n')
    out = tmp_path / 'out'
    run_tool(monkeypatch, 'finegym', '--annotations', notes, '--out', out,
             '--markdown')
    assert names_in(out) == [
        'gym288_train.txt', 'gym288_val.txt', 'gym99_train.txt',
        'gym99_val.txt', 'segments.csv']
    assert (out / 'gym99_train.txt').read_text() == (
        f'videos/{ONE}.mp4 0\nvideos/{TWO}.mp4 98\n')
    assert (out / 'gym288_val.txt').read_text() == f'videos/{OTHER}.mp4 98\n'
    with open(out / 'segments.csv', newline='') as file:
        assert list(csv.reader(file)) == [
            ['element', 'source', 'start', 'end'],
            [ONE, 'madeupvid_1_E_000100_000110', '1.250', '2.500'],
            [TWO, 'madeupvid_1_E_000100_000110', '3.500', '9.125'],
            [OTHER, '-adeupvid2_E_000007_000009', '0.000', '1.000']]
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == '| gym99_train | 2 | 2 of 99 | 1 | 1 |'
    assert lines[5] == '| gym288_val | 1 | 1 of 288 | 1 | 1 |'


def test_segments_of_whole_videos_come_first(tmp_path):
    notes = write_lists(tmp_path / 'annotations')
    write_events(notes)
    write_info(notes)
    found = read_finegym(str(notes))
    assert found.files['segments.csv'][1:] == [
        f'{ONE},madeupvid_1,101.750,103.000',
        f'{TWO},madeupvid_1,104.000,109.625']
    assert found.notes == [
        f'Not in segments.csv, without times in {notes}/'
        f'finegym_annotation_info_v1.1.json: 1 of 3 elements, such as {OTHER}.'
    ]
    events = read_finegym(str(notes),
                          times=str(notes / 'event_annotation.json'))
    assert len(events.files['segments.csv']) == 4 and not events.notes


def test_official_names_and_one_set(tmp_path):
    folder = tmp_path / 'annotations'
    folder.mkdir()
    (folder / 'gym99_train_element_v1.1.txt').write_text(f'{ONE} 1\n')
    (folder / 'gym99_val_element.txt').write_text(f'{OTHER} 2\n')
    found = read_finegym(str(folder), ['gym99'])
    assert [split.name for split in found.splits] == [
        'gym99_train', 'gym99_val']
    assert 'No segments.csv' in found.notes[0]
    with pytest.raises(ValueError, match='has no gym288_train_element_v1.1.txt'
                       ' or .*_org.txt; --sets'):
        read_finegym(str(folder))


def test_class_names_become_distinct(tmp_path):
    notes = write_lists(tmp_path / 'annotations')
    names = [f'made-up element {i}' for i in range(99)]
    names[40] = names[3]
    path = tmp_path / 'names.txt'
    path.write_text('\n'.join(names) + '\n')
    found = read_finegym(str(notes), gym99_names=str(path))
    lines = found.files['gym99_classes.txt']
    assert lines[3] == 'made-up element 3 [3]'
    assert lines[40] == 'made-up element 3 [40]'
    assert lines[:3] + lines[4:40] + lines[41:] == (
        names[:3] + names[4:40] + names[41:])
    written = tmp_path / 'classes.txt'
    written.write_text('\n'.join(lines) + '\n')
    assert read_class_names(written) == lines
    path.write_text('one\n\n')
    with pytest.raises(ValueError, match='99 names .* 2 lines, 1 of them emp'):
        read_finegym(str(notes), gym99_names=str(path))


@pytest.mark.parametrize('train, message', [
    (f'{ONE} 99\n', f"line 1: the label of '{ONE}' must .* 98, got 99"),
    (f'{ONE} 1\n{ONE} 1\n', f"line 2: '{ONE}' is in line 1 already"),
    (f'{ONE} 1\n{ONE}\n', 'line 2 must be VIDEO_E_…_A_… LABEL, got'),
    (f'{ONE} one\n', 'line 1 must be'),
    (f'{ONE}.avi 1\n', 'line 1 must be'),
    (f'../{ONE} 1\n', 'line 1 must be'),
    (f'{ONE} 1\n\n', "line 2 must be .* got ''"),
    ('', 'holds no clips'),
    (f'{OTHER} 1\n', f"'{OTHER}' is in both"),
])
def test_wrong_lines_are_named(tmp_path, train, message):
    notes = write_lists(tmp_path / 'annotations', train)
    with pytest.raises(ValueError, match=message) as caught:
        read_finegym(str(notes))
    assert 'gym99_train_org.txt' in str(caught.value)


@pytest.mark.parametrize('stamps', [
    None, [], [[2, 1]], [[1]], [['1', '2']], [[-1, 2]], [[0, 1e999]],
    [[True, 2]]])
def test_wrong_times_are_named(tmp_path, stamps):
    notes = write_lists(tmp_path / 'annotations')
    write_json(notes / 'event_annotation.json', {
        ONE[:-12]: {'A_0001_0002': dict(timestamps=stamps)}})
    with pytest.raises(ValueError, match=f'event_annotation.json, {ONE}: '
                       'timestamps must be'):
        read_finegym(str(notes))


def test_times_of_something_else(tmp_path):
    notes = write_lists(tmp_path / 'annotations')
    write_json(notes / 'times.json', {'other': {}})
    with pytest.raises(ValueError, match=f'no times of any .* {ONE}'):
        read_finegym(str(notes), times=str(notes / 'times.json'))
    write_json(notes / 'times.json', [])
    with pytest.raises(ValueError, match='must hold a JSON object'):
        read_finegym(str(notes), times=str(notes / 'times.json'))
