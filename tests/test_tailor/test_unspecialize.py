"""The reduced checkpoint is that of the plain recognizer."""
import sys

import pytest
import torch

from tests.builders import build, specialize, tsm
from tools import unspecialize


def test_checkpoint(tmp_path, monkeypatch, capsys):
    plain, special = build(tsm()), build(specialize(tsm()))
    state = special.state_dict()
    averaged = {f'module.{k}': v + 1 if v.is_floating_point() else v
                for k, v in state.items()}
    path, out = tmp_path / 'special.pth', tmp_path / 'plain.pth'
    torch.save(dict(state_dict=state, ema_state_dict=averaged,
                    optimizer=dict(state={}),
                    meta=dict(epoch=3, cfg='model = …')), path)

    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['tool', *map(str, args)])
        unspecialize.main()

    run(path, out)
    assert f'Written: {out}, without ' in capsys.readouterr().out
    loaded = torch.load(out, weights_only=True)
    assert loaded.keys() == {'state_dict', 'ema_state_dict', 'meta'}
    assert loaded['meta'] == dict(epoch=3)
    plain.load_state_dict(loaded['state_dict'])
    for key, value in plain.state_dict().items():
        other = loaded['ema_state_dict'][f'module.{key}']
        if value.is_floating_point():
            assert torch.equal(other, value + 1)

    with pytest.raises(SystemExit, match='exists: give --force'):
        run(path, out)
    run(path, out, '--force')
    with pytest.raises(SystemExit, match='^error: the state dict has no '
                       'parameters'):
        run(out, tmp_path / 'other.pth')
    assert not (tmp_path / 'other.pth').exists()
