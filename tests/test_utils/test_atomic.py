import json

import pytest

from dsts_mmaction.utils.atomic import write_atomically, write_json


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new' / 'file.json'
    write_json(path, dict(a=[1, None]))
    assert json.loads(path.read_text()) == dict(a=[1, None])
    with pytest.raises(TypeError, match='not JSON serializable'):
        write_json(path, dict(b=object()))
    with pytest.raises(RuntimeError, match='stop'), \
            write_atomically(path, 'wb') as file:
        file.write(b'half')
        raise RuntimeError('stop')
    assert json.loads(path.read_text()) == dict(a=[1, None])
    assert list(path.parent.iterdir()) == [path]
    with write_atomically(path, 'wb') as file:
        file.write(b'\xff')
    assert path.read_bytes() == b'\xff'
