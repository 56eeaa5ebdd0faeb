import json
import os
import runpy
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dsts_mmaction.datasets import (
    SynthDiveConfig,
    class_names,
    draw_contact_sheet,
    render_clip,
    sample_clip,
    write_dataset,
)
from dsts_mmaction.datasets.synthdive import figure
from dsts_mmaction.datasets.synthdive.clip import rotation

CONFIG = SynthDiveConfig(size=32, seed=3)
COUNTS = dict(train=24, val=12, test=12)
# Two classes.
SMALL = replace(CONFIG, somersaults=(1.0, ), positions=('tuck', ))
FEW = dict(train=4, val=2, test=2)


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    path = tmp_path_factory.mktemp('synthdive')
    assert write_dataset(CONFIG, str(path), COUNTS, progress=False) == 48
    return path


def read_files(root):
    return {str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob('*') if path.is_file()}


def read_list(root, split):
    pairs = map(str.split, (root / f'{split}.txt').read_text().splitlines())
    return [(name, int(label)) for name, label in pairs]


def test_same_bytes_for_any_number_of_workers(tmp_path):
    here, workers = tmp_path / 'here', tmp_path / 'workers'
    write_dataset(SMALL, str(here), FEW, progress=False)
    write_dataset(SMALL, str(workers), FEW, num_workers=2, progress=False)
    assert read_files(here) == read_files(workers)


def test_clips_depend_on_seed_and_split():

    def frames(config, split):
        return render_clip(sample_clip(config, split, 0), 32)

    first = frames(CONFIG, 'train')
    assert np.array_equal(first, frames(CONFIG, 'train'))
    for other in (frames(replace(CONFIG, seed=4), 'train'),
                  frames(CONFIG, 'val')):
        assert first.shape != other.shape or not np.array_equal(first, other)


def test_resume_and_growth_keep_clips(tmp_path):
    write_dataset(SMALL, str(tmp_path), FEW, progress=False)
    whole = read_files(tmp_path)
    videos = tmp_path / 'videos'
    kept = videos / 'train_00001.mp4'
    (videos / 'train_00003.mp4').unlink()
    (tmp_path / 'test.txt').unlink()
    (videos / '.tmp1_x.mp4').touch()
    before = kept.stat().st_mtime_ns
    assert write_dataset(SMALL, str(tmp_path), FEW, progress=False) == 1
    assert read_files(tmp_path) == whole

    more = dict(FEW, train=6)
    assert write_dataset(SMALL, str(tmp_path), more, progress=False) == 2
    assert len(read_list(tmp_path, 'train')) == 6
    assert kept.stat().st_mtime_ns == before


def test_other_parameters_are_refused(tmp_path):
    root = str(tmp_path / 'data')
    write_dataset(SMALL, root, FEW, progress=False)
    other = replace(SMALL, seed=9)
    with pytest.raises(FileExistsError, match='another seed'):
        write_dataset(other, root, FEW, progress=False)
    assert write_dataset(other, root, FEW, overwrite=True, progress=False) == 8
    meta = tmp_path / 'data' / 'meta.json'
    assert json.loads(meta.read_text())['seed'] == 9
    meta.write_text('no JSON')
    with pytest.raises(FileExistsError, match='another difficulty, .*, seed'):
        write_dataset(SMALL, root, FEW, progress=False)

    foreign = tmp_path / 'foreign'
    foreign.mkdir()
    (foreign / 'notes').write_text('mine')
    with pytest.raises(FileExistsError, match='holds no SynthDive'):
        write_dataset(
            SMALL, str(foreign), FEW, overwrite=True, progress=False)
    assert (foreign / 'notes').read_text() == 'mine'


def test_splits_are_balanced(data_root):
    for split, count in COUNTS.items():
        labels = Counter(label for _, label in read_list(data_root, split))
        assert labels == {label: count // 12 for label in range(12)}
    names = (data_root / 'classes.txt').read_text().split()
    assert names == class_names(CONFIG) and len({*names}) == 12


def test_decord_reads_every_clip(data_root):
    import decord
    for split in COUNTS:
        for index, (name, _) in enumerate(read_list(data_root, split)):
            spec = sample_clip(CONFIG, split, index)
            reader = decord.VideoReader(str(data_root / name))
            assert len(reader) == spec.num_frames
            picks = [0, 7, spec.num_frames - 1]
            frames = reader.get_batch(picks).asnumpy()[..., ::-1]
            rendered = render_clip(spec, 32)[picks]
            # The codec loses some detail, no more.
            assert np.abs(frames.astype(int) - rendered).mean() < 15


def test_mmaction_pipeline_reads_clips(data_root):
    from mmaction.utils import register_all_modules
    register_all_modules()
    from mmaction.registry import DATASETS
    dataset = DATASETS.build(
        dict(
            type='VideoDataset',
            data_root=str(data_root),
            ann_file='test.txt',
            data_prefix=dict(video=''),
            test_mode=True,
            pipeline=[
                dict(type='DecordInit'),
                dict(type='SampleFrames', clip_len=1, frame_interval=1,
                     num_clips=8, test_mode=True),
                dict(type='DecordDecode'),
                dict(type='FormatShape', input_format='NCHW'),
                dict(type='PackActionInputs')
            ]))
    assert len(dataset) == 12
    sample = dataset[5]
    assert tuple(sample['inputs'].shape) == (8, 3, 32, 32)
    assert sample['data_samples'].gt_label.item() == 5


def test_difficulty_makes_images_noisier():

    def roughness(difficulty):
        config = replace(CONFIG, difficulty=difficulty)
        frames = [render_clip(sample_clip(config, 'train', i), 32)
                  .astype(float) for i in range(12)]
        return np.mean([np.abs(np.diff(f, axis=2)).mean() for f in frames])

    assert roughness(0) < roughness('medium') < roughness(1)


def test_class_shows_in_motion_and_pose():
    for index in range(24):
        spec = sample_clip(CONFIG, 'train', index)
        time = np.linspace(0, 1, 1001)
        turned = np.diff(rotation(spec, time)).sum() / 360
        sign = 1 if spec.direction == 'forward' else -1
        assert turned == pytest.approx(sign * spec.somersaults, abs=1e-6)
        # From one of 8 sampled frames to the next, the direction stays clear.
        assert spec.spin * 360 / 8 <= 100

    upright, quarter = (
        figure.place(figure.joints(np.zeros(4)), angle, 10, np.zeros(2))
        for angle in (0, 90))
    assert upright['head'][1] < upright['ankle'][1]
    assert quarter['head'][0] > 3 and abs(quarter['head'][1]) < 1

    def span(position):
        points = figure.joints(figure.flexion(position, 1, np.zeros(4)))
        return max(np.linalg.norm(a - b) for a in points.values()
                   for b in points.values())

    assert span('tuck') < span('pike') < span('straight')


def test_everything_else_is_independent_of_the_class():
    config = replace(CONFIG, num_frames=(16, 32))
    specs = [sample_clip(config, 'train', i) for i in range(1200)]
    labels = np.array([spec.label for spec in specs])
    nuisances = dict(
        num_frames=[s.num_frames for s in specs],
        spin=[s.spin for s in specs],
        start_x=[np.cos(np.deg2rad(s.start_angle)) for s in specs],
        start_y=[np.sin(np.deg2rad(s.start_angle)) for s in specs],
        end_x=[np.cos(np.deg2rad(rotation(s, np.ones(1))[0])) for s in specs],
        side=[s.scene.board_side == 'left' for s in specs],
        luma=[np.mean(s.look.suit) for s in specs],
        sky=[np.mean(s.scene.sky) for s in specs],
        thickness=[s.look.thickness for s in specs],
        height=[s.body_height for s in specs],
        column=[s.path[0] for s in specs],
        drift=[s.path[2] for s in specs],
        noise=[s.noise for s in specs],
        # The middle of the rotation, not its start: a long one starts early.
        middle=[s.spin_start + s.somersaults / s.spin / 2 for s in specs])
    for name, values in nuisances.items():
        values = np.asarray(values, float)
        groups = [values[labels == k] for k in range(12)]
        error = np.array([g.std() / np.sqrt(len(g)) for g in groups])
        means = np.array([g.mean() for g in groups])
        assert (np.abs(means - values.mean()) / error).max() < 4, name


def test_contact_sheet(tmp_path):
    path = str(tmp_path / 'sheet.png')
    draw_contact_sheet(CONFIG, path, columns=5)
    sheet = cv2.imread(path)
    assert sheet.shape[0] > 12 * 32 and sheet.shape[1] > 5 * 32
    assert os.listdir(tmp_path) == ['sheet.png']


@pytest.mark.parametrize('option', [
    dict(size=0), dict(size=48), dict(num_frames=(12, 24)),
    dict(num_frames=(24, 16)), dict(fps=0), dict(seed=-1),
    dict(difficulty='extreme'), dict(difficulty=1.5),
    dict(somersaults=(0.5, 3)), dict(somersaults=()),
    dict(directions=('sideways', )), dict(positions=('tuck', 'tuck')),
    dict(positions=())], ids=str)
def test_bad_parameters_are_named(option):
    name = next(iter(option))
    with pytest.raises(ValueError, match=f'^{name}=.* is not allowed: it'):
        SynthDiveConfig(**option)


def test_bad_counts_are_named(tmp_path):
    with pytest.raises(ValueError, match='^num_val=5 is not allowed'):
        write_dataset(CONFIG, str(tmp_path), dict(COUNTS, val=5))
    with pytest.raises(ValueError, match='^num_workers=-1 is not allowed'):
        write_dataset(CONFIG, str(tmp_path), COUNTS, num_workers=-1)
    assert os.listdir(tmp_path) == []


def run_tool(monkeypatch, *args):
    tool = Path(__file__).parents[2] / 'tools' / 'make_synthdive.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), *args])
    runpy.run_path(str(tool), run_name='__main__')


def test_tool(tmp_path, monkeypatch, capsys):
    args = [str(tmp_path), '--num-workers', '0', '--somersaults', '1',
            '--positions', 'tuck', '--num-train', '4', '--num-val', '2',
            '--num-test', '2', '--size']
    for count in (8, 0):
        run_tool(monkeypatch, *args, '32')
        assert f'{count} clips rendered' in capsys.readouterr().out
    assert (tmp_path / 'contact_sheet.png').is_file()
    with pytest.raises(SystemExit, match='another seed'):
        run_tool(monkeypatch, *args, '32', '--seed', '1')
    with pytest.raises(SystemExit, match='^error: size=33 is not allowed'):
        run_tool(monkeypatch, *args, '33')
