"""The reduced checkpoint is that of the plain recognizer."""
import subprocess
import sys

import pytest
import torch

from dsts_mmaction.adapters.plain_view import plain_state_dict
from tests.builders import DSTS, build, slowfast, slowonly, specialize, tsm
from tools import unspecialize

PAIRS = dict(
    head=(tsm(), specialize(tsm())),
    pathways=(slowfast(), specialize(slowfast(), channels=(128, 16))),
    layer=(slowonly(), specialize(slowonly(), layer='layer3', channels=64)),
    neck=(slowonly(), dict(slowonly(), neck=dict(
        type='DSTSNeck', in_channels=128, dsts=DSTS))))


def run(monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['tool', *map(str, args)])
    unspecialize.main()


@pytest.mark.parametrize('name', PAIRS)
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_state_dict_of_the_plain_recognizer(name, prefix):
    plain, special = (build(cfg) for cfg in PAIRS[name])
    special.load_state_dict(plain.state_dict(), strict=False)
    reduced = plain_state_dict({
        prefix + key: value for key, value in special.state_dict().items()})
    expected = {prefix + key: v for key, v in plain.state_dict().items()}
    assert reduced.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(reduced[key], value)
    with pytest.raises(ValueError, match='not that of a specialized'):
        plain_state_dict(reduced)


def test_checkpoint(tmp_path, monkeypatch):
    plain, special = (build(cfg) for cfg in PAIRS['head'])
    state = special.state_dict()
    averaged = {f'module.{k}': v + 1 if v.is_floating_point() else v
                for k, v in state.items()}
    path, out = tmp_path / 'special.pth', tmp_path / 'plain.pth'
    torch.save(dict(state_dict=state, ema_state_dict=averaged,
                    optimizer=dict(state={}),
                    meta=dict(epoch=3, cfg='model = …')), path)
    subprocess.run([sys.executable, '-W', 'ignore', unspecialize.__file__,
                    str(path), str(out)], check=True)
    loaded = torch.load(out, weights_only=True)
    assert loaded.keys() == {'state_dict', 'ema_state_dict', 'meta'}
    assert loaded['meta'] == dict(epoch=3)
    plain.load_state_dict(loaded['state_dict'])
    for key, value in plain.state_dict().items():
        other = loaded['ema_state_dict'][f'module.{key}']
        if value.is_floating_point():
            assert torch.equal(other, value + 1)

    with pytest.raises(SystemExit, match='exists: give --force'):
        run(monkeypatch, path, out)
    run(monkeypatch, path, out, '--force')
    with pytest.raises(SystemExit, match='^error: the state dict has no '
                       'parameters'):
        run(monkeypatch, out, tmp_path / 'other.pth')
    assert not (tmp_path / 'other.pth').exists()
