"""Reading configs, of the checkout and of installed packages."""
import os

from mmengine.config import Config
from mmengine.utils import get_installed_path


def load_config(name: str) -> Config:
    """Read a config.

    Args:
        name: Path of a file, or ``PACKAGE::FILE`` for one that comes with an
            installed package of OpenMMLab, as in ``_base_`` of configs:
            ``mmaction::recognition/tsm/….py``.

    Raises:
        ValueError: There is no such config.
    """
    package, is_installed, path = name.partition('::')
    if not is_installed:
        path = name
    else:
        try:
            root = get_installed_path(package)
        except Exception as error:  # of pkg_resources or importlib
            raise ValueError(f'config {name!r}: package {package!r} is not '
                             'installed.') from error
        path = os.path.join(root, '.mim', 'configs', path)
    if not os.path.isfile(path):
        raise ValueError(f'config {name!r} does not exist: there is no file '
                         f'{path}.')
    return Config.fromfile(path)
