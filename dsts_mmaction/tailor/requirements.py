"""Packages that some configs need and an installation may not have."""
from importlib.util import find_spec

from mmaction.registry import MODELS
from mmengine.config import Config

from ..utils.configs import dataset_with_pipeline

PREFIXES = ('timm', 'torchvision', 'mmpretrain', 'mmcls')
TRANSFORMS = dict(PytorchVideoWrapper='pytorchvideo', Imgaug='imgaug')


def missing_package(cfg: Config) -> str | None:
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


def missing_for_training(cfg: Config) -> str | None:
    """As :func:`missing_package`, for the steps of the training pipeline."""
    dataset = dataset_with_pipeline(cfg, 'train') or dict(pipeline=[])
    for step in dataset['pipeline']:
        package = TRANSFORMS.get(step['type'])
        if package is not None and find_spec(package) is None:
            return f"{step['type']} of the training pipeline needs {package}"
    return None
