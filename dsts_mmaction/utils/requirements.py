"""Packages that some recognizers need and an installation may not have."""
from importlib.util import find_spec
from typing import Optional

from mmaction.registry import MODELS
from mmengine.config import Config

PREFIXES = ('timm', 'torchvision', 'mmpretrain', 'mmcls')


def missing_package(cfg: Config) -> Optional[str]:
    """What is not installed and a config's backbone needs.

    Args:
        cfg: Config of a recognizer.

    Returns:
        A clause that names the backbone and the package; None if all is
        there.
    """
    name = str(cfg.model.backbone.type)
    package = name.partition('.')[0]
    if package in PREFIXES:
        missing = package if find_spec(package) is None else None
    elif name == 'ResNetTIN':
        missing = (None if find_spec('mmcv._ext') else
                   'the compiled operators of the full mmcv')
    else:
        # MMAction2 registers these where it can import mmpretrain.
        missing = None if MODELS.get(name) else 'mmpretrain'
    return missing and f'{name} needs {missing}'
