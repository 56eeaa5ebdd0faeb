"""What is broken in mmaction2."""
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

from .replacing import replaces

_DRN = 'mmaction.models.localizers.drn'


def patch_drn() -> None:
    """Stand in for ``mmaction.models.localizers.drn`` where it is missing.

    The folder has no ``__init__.py`` in the source of mmaction2 1.2.0, so
    the wheel lacks it and ``import mmaction.models`` fails. The finder goes
    to the end of ``sys.meta_path``: it is asked only for what the standard
    finders did not find.
    """
    if not any(isinstance(finder, _DRNFinder) for finder in sys.meta_path):
        sys.meta_path.append(_DRNFinder())


class _DRNFinder(MetaPathFinder, Loader):
    """Finds and makes the packages ``drn`` and ``drn.drn``."""

    def find_spec(self,
                  fullname: str,
                  path: Any = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in (_DRN, f'{_DRN}.drn'):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == _DRN)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == _DRN:
            return
        from mmaction.registry import MODELS

        class DRN(torch.nn.Module):
            """Takes the place of the localizer that was not installed."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise ImportError(
                    'DRN is not part of the installed mmaction2: install '
                    'mmaction2 from its source tree to use it.')

        DRN.__module__ = module.__name__
        module.DRN = MODELS.register_module(module=DRN)


def patch_bfloat16_scores() -> None:
    """Give MMAction2 float32 where it turns scores into numpy arrays.

    numpy has no bfloat16, so the accuracies logged in training and AccMetric
    fail on the scores that autocast in bfloat16 makes, on any device.
    """
    from mmaction.evaluation import AccMetric
    from mmaction.models.heads import BaseHead, OmniHead, RGBPoseHead

    def loss(original: Callable, self: Any, cls_scores: Any, *args: Any,
             **kwargs: Any) -> dict:
        return original(self, float32(cls_scores), *args, **kwargs)

    replaces(BaseHead, 'loss_by_feat')(loss)
    replaces(OmniHead, 'loss_by_feat')(loss)
    replaces(RGBPoseHead, 'loss_by_scores')(loss)

    @replaces(AccMetric, 'process')
    def process(original: Callable, self: Any, data_batch: Any,
                data_samples: Any) -> None:
        original(self, data_batch, [
            dict(sample, pred_score=float32(sample['pred_score']))
            for sample in data_samples])


def float32(scores: Any) -> Any:
    """Tensors of bfloat16, also in a dict, as float32; others unchanged."""
    if isinstance(scores, dict):
        return {name: float32(score) for name, score in scores.items()}
    if isinstance(scores, torch.Tensor) and scores.dtype == torch.bfloat16:
        return scores.float()
    return scores


def patch_missing_pretrained() -> None:
    """Take ``pretrained=None`` for no pretraining, whatever pretrained2d.

    These backbones look only at ``pretrained2d``, which is on by default,
    and then load a checkpoint named None.
    """
    from mmaction.models import backbones

    def init_weights(original: Callable, self: Any) -> None:
        if self.pretrained2d and not self.pretrained:
            self.pretrained2d = False
        original(self)

    for backbone in (backbones.ResNetTSM, backbones.MobileNetV2TSM,
                     backbones.SwinTransformer3D):
        replaces(backbone, 'init_weights')(init_weights)
