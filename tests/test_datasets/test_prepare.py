"""What all tools that prepare data share: videos, lists, counts."""
import io
import os
import random
import subprocess

import numpy as np
import pytest
from rich.console import Console

from dsts_mmaction.datasets.prepare import videos
from dsts_mmaction.datasets.prepare.annotations import (
    Annotations,
    Clip,
    Split,
)
from dsts_mmaction.datasets.prepare.counts import count_table
from dsts_mmaction.datasets.prepare.writing import write_annotations
from dsts_mmaction.datasets.synthdive.writer import write_video
from tests.test_datasets.preparing import names_in, run_tool, write_diving48

NAMES = ['-a_00001', 'b_00001', 'b_00002', 'c_00001', 'c_00002']
LISTS = ['classes.txt', 'test.txt', 'train.txt']


@pytest.fixture
def notes(tmp_path):
    return write_diving48(tmp_path / 'annotations')


def write_videos(folder, names):
    folder.mkdir()
    for name in names:
        frames = np.full((8, 32, 32, 3), 90, np.uint8)
        write_video(str(folder / f'{name}.mp4'), frames, 8)
    return folder


def run(monkeypatch, notes, out, *args):
    run_tool(monkeypatch, 'diving48', '--annotations', notes, '--out', out,
             '--num-workers', 1, *args)


def test_missing_and_unreadable_videos(tmp_path, notes, monkeypatch, capsys):
    folder = write_videos(tmp_path / 'videos', NAMES[:1] + NAMES[2:])
    (folder / 'b_00002.mp4').write_bytes(b'no video')
    (folder / 'c_00001.mp4').write_bytes(b'')
    out = tmp_path / 'out'
    options = '--videos', folder, '--check-readable'
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, notes, out, *options)
    message = str(caught.value)
    assert message.startswith(
        f'error: videos in {folder}: 1 of 5 missing, such as b_00001.mp4 (all '
        f'in {out}/missing.txt) and 2 of 5 unreadable, such as b_00002.mp4')
    assert names_in(out) == ['missing.txt', 'unreadable.txt']
    assert (out / 'missing.txt').read_text() == 'b_00001.mp4\n'
    reasons = [line.split('\t') for line in
               (out / 'unreadable.txt').read_text().splitlines()]
    assert [r[0] for r in reasons] == ['b_00002.mp4', 'c_00001.mp4']
    assert all(len(r) == 2 and r[1] for r in reasons)

    capsys.readouterr()
    run(monkeypatch, notes, out, *options, '--missing', 'drop', '--markdown')
    shown = capsys.readouterr()
    assert 'Left out videos in' in shown.err
    assert shown.out.splitlines()[2:] == [
        '| train | 1 | 1 of 3 | 1 | 1 |', '| test | 1 | 1 of 3 | 1 | 1 |']
    assert (out / 'train.txt').read_text() == 'videos/-a_00001.mp4 2\n'
    assert (out / 'test.txt').read_text() == 'videos/c_00002.mp4 0\n'
    assert len((out / 'classes.txt').read_text().splitlines()) == 3

    # Once all are there, the reports of before are gone.
    for name in ('b_00001', 'b_00002', 'c_00001'):
        (folder / f'{name}.mp4').write_bytes(
            (folder / '-a_00001.mp4').read_bytes())
    run(monkeypatch, notes, out, *options, '--force')
    assert names_in(out) == LISTS
    assert len((out / 'train.txt').read_text().splitlines()) == 3


def test_nothing_left_is_an_error(tmp_path, notes, monkeypatch):
    folder = write_videos(tmp_path / 'videos', NAMES[:3])
    out = tmp_path / 'out'
    with pytest.raises(SystemExit, match='^error: no video of test is left'):
        run(monkeypatch, notes, out, '--videos', folder, '--missing', 'drop')
    assert names_in(out) == ['missing.txt']


def crash_on_b(path):
    if 'b_' in path:
        os._exit(1)


def test_a_crash_of_the_decoder_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, 'read_first_frame', crash_on_b)
    monkeypatch.setattr(videos, 'BATCH', 3)
    found = videos.find_unreadable(
        str(tmp_path), NAMES, 1, Console(file=io.StringIO()))
    assert found == dict.fromkeys(NAMES[1:3], 'the decoder crashed')


def test_lists_are_not_overwritten(tmp_path, notes, monkeypatch):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'classes.txt').write_text('mine')
    with pytest.raises(SystemExit, match='^error: .*out/classes.txt exists: '
                       'give --force'):
        run(monkeypatch, notes, out)
    assert names_in(out) == ['classes.txt']
    assert (out / 'classes.txt').read_text() == 'mine'
    run(monkeypatch, notes, out, '--force', '--prefix', 'clips/')
    assert names_in(out) == LISTS
    assert (out / 'train.txt').read_text().startswith('clips/-a_00001.mp4 2')


def test_something_in_the_way(tmp_path, notes, monkeypatch):
    out = tmp_path / 'out'
    (out / 'test.txt').mkdir(parents=True)
    with pytest.raises(SystemExit, match='test.txt is a folder'):
        run(monkeypatch, notes, out, '--force')
    assert names_in(out) == ['test.txt']
    with pytest.raises(SystemExit, match='is not a folder'):
        run(monkeypatch, notes, notes / 'Diving48_vocab.json')


def test_an_error_leaves_nothing_behind(tmp_path, monkeypatch):
    notes = write_diving48(tmp_path / 'annotations', test=[])
    out = tmp_path / 'out'
    with pytest.raises(SystemExit, match='^error: .* holds no clips'):
        run(monkeypatch, notes, out)
    assert not out.exists()

    # The last file fails when the first are complete: no surrogates in UTF-8.
    out.mkdir()
    (out / 'train.txt').write_text('before')
    broken = Annotations([Split('train', [Clip('a', 0)], 1)],
                         {'classes.txt': ['fine', '\ud800']})
    with pytest.raises(UnicodeEncodeError):
        write_annotations(broken, str(out), 'videos', 'mp4')
    assert names_in(out) == ['train.txt']
    assert (out / 'train.txt').read_text() == 'before'


@pytest.mark.parametrize('options, message', [
    (['--ext', 'm p4'], '--ext: must be letters and digits'),
    (['--ext', '../mp4'], '--ext: must be letters and digits'),
    (['--prefix', '../videos'], '--prefix: must be a path below'),
    (['--prefix', '/videos'], '--prefix: must be a path below'),
    (['--prefix', 'my videos'], '--prefix: must be a path below'),
    (['--num-workers', '0'], '--num-workers: must be a whole number above'),
])
def test_wrong_options(tmp_path, notes, monkeypatch, capsys, options,
                       message):
    with pytest.raises(SystemExit):
        run(monkeypatch, notes, tmp_path / 'out', *options)
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_wrong_folder_of_videos(tmp_path, notes, monkeypatch):
    with pytest.raises(SystemExit, match='^error: --videos .* is not a fold'):
        run(monkeypatch, notes, tmp_path / 'out', '--videos', tmp_path / 'no')
    with pytest.raises(SystemExit, match='--check-readable needs --videos'):
        run(monkeypatch, notes, tmp_path / 'out', '--check-readable')
    assert not (tmp_path / 'out').exists()


def test_counts(tmp_path):
    draw = random.Random(0)
    splits = [Split(name, [Clip(f'v{i}', min(draw.randrange(9), 6))
                           for i in range(size)], 9)
              for name, size in (('train', 60), ('val', 3))]
    write_annotations(Annotations(splits), str(tmp_path), '', 'mp4')
    rows = count_table(splits)
    assert [len(row) for row in rows] == [5, 5, 5]
    for row in rows[1:]:
        labels = subprocess.run(
            f"cut -d' ' -f2 {tmp_path}/{row[0]}.txt | sort | uniq -c | "
            "sort -n | awk '{print $1}'", shell=True, text=True,
            capture_output=True).stdout.split()
        clips = sum(map(int, labels))
        assert row[1:] == [str(clips), f'{len(labels)} of 9', labels[0],
                           labels[-1]]


@pytest.mark.parametrize('name', ['diving48', 'finegym', 'sthv2'])
def test_help(name, monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        run_tool(monkeypatch, name, '--help')
    assert caught.value.code == 0
    assert '--missing {error,drop}' in capsys.readouterr().out
