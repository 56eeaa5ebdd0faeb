import numpy as np
import pytest
from mmaction.datasets.transforms import DecordInit

from tests.test_compat.helpers import unpatched


@pytest.mark.parametrize('suffix, codec', [('.avi', 'XVID'),
                                           ('.mp4', 'mp4v')])
def test_video_reader(tmp_path, suffix, codec):
    import cv2
    path = tmp_path / f'video{suffix}'
    video = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*codec), 25, (32, 32))
    noise = np.random.default_rng(0)
    for _ in range(20):
        video.write(noise.integers(0, 255, (32, 32, 3), np.uint8))
    video.release()

    transform = DecordInit()
    reader = transform._get_video_reader(str(path))
    own = unpatched(DecordInit._get_video_reader)(transform, str(path))
    np.testing.assert_array_equal(reader[:].asnumpy(), own[:].asnumpy())

    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    if suffix == '.avi':
        assert 0 < len(transform._get_video_reader(str(path))) < 20
    else:
        with pytest.raises(RuntimeError):
            transform._get_video_reader(str(path))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        transform._get_video_reader(str(path))
