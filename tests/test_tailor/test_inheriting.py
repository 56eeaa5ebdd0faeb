import pytest
from mmengine.config import Config

from dsts_mmaction.tailor.inheriting import (
    inheriting_text,
    load_as_base,
    write_inheriting,
)
from dsts_mmaction.utils.configs import differing_options, load_config

BASE = dict(
    model=dict(type='A', head=dict(type='H', width=3, names=('a', 'b')),
               extra=None),
    steps=[dict(type='One'), dict(type='Two', size=(2, 3)),
           dict(type='Three'), dict(type='Four')],
    labels={3: 4},
    lr=0.1)


def change_nothing(cfg):
    pass


def change_a_value(cfg):
    cfg['model']['head']['width'] = 5


def wrap(cfg):
    cfg['model']['head'] = dict(type='W', inner=cfg['model']['head'], n=2)


def wrap_a_changed_one(cfg):
    wrap(cfg)
    cfg['model']['head']['inner']['width'] = 7


def remove_a_key(cfg):
    del cfg['model']['head']['names']


def remove_a_step(cfg):
    del cfg['steps'][1]


def change_and_add_steps(cfg):
    cfg['steps'][1]['size'] = (4, 4)
    cfg['steps'].append(dict(type='Five', value={1: [None, True]}))


def empty_a_list(cfg):
    cfg['steps'] = []


def replace_a_dict_by_a_list(cfg):
    cfg['model']['extra'] = [cfg['model'].pop('head')]


def add_keys_that_are_no_names(cfg):
    cfg['labels'][5] = 6
    cfg['new'] = {'a-b': (1, )}


CHANGES = [change_nothing, change_a_value, wrap, wrap_a_changed_one,
           remove_a_key, remove_a_step, change_and_add_steps, empty_a_list,
           replace_a_dict_by_a_list, add_keys_that_are_no_names]


@pytest.fixture
def base(tmp_path):
    path = tmp_path / 'bases' / 'base.py'
    path.parent.mkdir()
    Config(BASE).dump(path)
    return str(path)


@pytest.mark.parametrize('change', CHANGES, ids=lambda c: c.__name__)
def test_the_written_config_is_the_changed_one(base, tmp_path, change):
    before = load_as_base(base)
    changed = before.to_dict()
    change(changed)
    out = tmp_path / 'written' / 'out.py'
    write_inheriting(out, base, before, Config(changed), 'A comment.')
    assert differing_options(Config.fromfile(out).to_dict(), changed) == []
    assert load_as_base(base).to_dict() == before.to_dict()
    lines = out.read_text().splitlines()
    assert lines[:2] == ['# A comment.', "_base_ = '../bases/base.py'"]
    assert [p.name for p in out.parent.iterdir()] == ['out.py']


def test_only_what_changes_is_written(base):
    before = load_as_base(base)
    changed = before.to_dict()
    wrap_a_changed_one(changed)
    remove_a_step(changed)
    text = inheriting_text('base.py', before, Config(changed), '')
    assert ' '.join(text.split()) == (
        "_base_ = 'base.py' model = dict( head=dict( _delete_=True, "
        "type='W', inner=dict(_base_.model.head, width=7), n=2)) "
        'steps = [*_base_.steps[:1], *_base_.steps[2:]]')


def test_a_config_that_cannot_be_written_leaves_nothing(base, tmp_path):
    before = load_as_base(base)
    changed = Config(before.to_dict())
    changed.new = float('nan')  # has no text that gives it
    out = tmp_path / 'written' / 'out.py'
    with pytest.raises(NameError):
        write_inheriting(out, base, before, changed, '')
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize('name', [
    # As its metafile spells it, and one that it spells without .py.
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py',
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-100e_kinetics400-rgb.py'])
def test_a_base_of_mmaction(tmp_path, name):
    name = f'mmaction::recognition/tsm/{name}'
    base = load_as_base(name)
    write_inheriting(tmp_path / 'out.py', name, base, base, '')
    written = Config.fromfile(tmp_path / 'out.py')
    assert differing_options(written.to_dict(), base.to_dict()) == []
    assert written.train_cfg.max_epochs == load_config(
        name).train_cfg.max_epochs
