import pytest
from mmengine.config import Config

from dsts_mmaction.utils.configs import (
    differing_options,
    innermost_dataset,
    load_config,
)

NAME = ('recognition/tsn/tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_'
        'kinetics400-rgb.py')


def test_a_config_of_a_package_is_what_a_base_of_it_is(tmp_path):
    inheriting = tmp_path / 'mine.py'
    inheriting.write_text(f"_base_ = 'mmaction::{NAME}'\n")
    found, expected = load_config(f'mmaction::{NAME}'), load_config(
        str(inheriting))
    # MMEngine marks what comes from another package.
    differing = differing_options(found.to_dict(), expected.to_dict())
    assert {name.split('.')[-1] for name in differing} <= {'_scope_'}
    assert found.model.cls_head.type == 'TSNHead'


@pytest.mark.parametrize('name, message', [
    ('no/such.py', 'no file no/such.py'),
    ('mmaction::recognition/tsn/mine.py', 'no file .*configs/recognition/'),
    ('not_there::tsn.py', "package 'not_there' is not installed")])
def test_what_is_missing_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        load_config(name)


def test_differing_options():
    a = dict(model=dict(channels=(1, 2), steps=[dict(type='A')]), lr=0.1)
    assert differing_options(a, dict(a, model=dict(
        channels=[1, 2], steps=[dict(type='A')]))) == []
    b = dict(model=dict(channels=[1, 3], steps=[dict(type='B')] * 2), seed=1)
    assert differing_options(a, b) == [
        'lr', 'model.channels.1', 'model.steps', 'seed']


def test_configs_of_several_data_sets_have_no_single_list():
    one = dict(type='VideoDataset', ann_file='a.txt')
    for inner, found in ((one, True), (dict(type='Repeat', dataset=one), True),
                         (dict(type='Concat', datasets=[one]), False)):
        cfg = Config(dict(train_dataloader=dict(dataset=inner)))
        if found:
            assert innermost_dataset(cfg, 'train') == one
            continue
        with pytest.raises(ValueError, match='one annotation list, .* Concat'):
            innermost_dataset(cfg, 'train')
