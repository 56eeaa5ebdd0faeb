"""Turn the config of a plain recognizer into that of a specialized one."""
import copy
import inspect
from typing import Any, Dict, Optional, Tuple

from mmaction.registry import MODELS
from mmengine.config import Config

# Backbones whose head does not classify from a feature map.
WITHOUT_MAP = ('C3D', 'MViT', 'TimeSformer', 'UniFormerV2',
               'VisionTransformer')
OTHER_PACKAGES = ('timm.', 'torchvision.')

# As in configs/_base_/upstream_downstream.py.
UDL_OPTIMIZER = dict(type='AdamW', lr=1e-3)


def specialize_config(cfg: Config,
                      dsts: Optional[Dict[str, Any]] = None,
                      udl: Optional[int] = None,
                      udl_options: Optional[Dict[str, Any]] = None) -> Config:
    """Specialize a recognizer, as the configs ``dsts-*`` and ``dsts-udl-*``.

    Args:
        cfg: The plain recognizer's config, left as it is.
        dsts: Options of :class:`dsts_mmaction.models.DSTSModule`.
        udl: Order of Upstream-Downstream Learning; None for joint training.
        udl_options: Further options of UpstreamDownstreamHook.

    Returns:
        A config with the head in DSTSHead, the optimizer's constructor in
        DSTSOptimWrapperConstructor and, with ``udl``, one hook more.

    Raises:
        ValueError: As :func:`feature_channels`, or ``udl`` for a config that
            does not train.
    """
    channels = feature_channels(cfg)
    cfg = copy.deepcopy(cfg)
    head = cfg.model.cls_head
    cfg.model.cls_head = dict(
        type='DSTSHead',
        head=head,
        dsts=dict(dsts or {}),
        **({} if len(channels) == 1 else dict(channels=channels)),
        **_segments(cfg))

    optim = cfg.get('optim_wrapper')
    if optim is not None:
        paramwise = dict(optim.get('paramwise_cfg') or {})
        paramwise['constructor'] = optim.get(
            'constructor', 'DefaultOptimWrapperConstructor')
        optim.constructor = 'DSTSOptimWrapperConstructor'
        optim.paramwise_cfg = paramwise
    elif udl is not None:
        raise ValueError(f'udl is {udl}, but the config has no '
                         'optim_wrapper: it does not train.')

    if udl is not None:
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []), {
                'type': 'UpstreamDownstreamHook',
                'optimizer': dict(UDL_OPTIMIZER),
                'order': udl,
                **(udl_options or {})
            }
        ]
    import_package(cfg)
    return cfg


def import_package(cfg: Config) -> None:
    """Make a config import this package, in place."""
    imports = dict(cfg.get('custom_imports') or {})
    names = imports.get('imports', [])
    names = [names] if isinstance(names, str) else list(names)
    if 'dsts_mmaction' not in names:
        names.append('dsts_mmaction')
    cfg.custom_imports = dict(
        imports=names,
        allow_failed_imports=imports.get('allow_failed_imports', False))


def feature_channels(cfg: Config) -> Tuple[int, ...]:
    """Channels of the features that a recognizer's head gets, per pathway.

    Raises:
        ValueError: The recognizer has no head that says so, has a neck, is
            specialized already, or classifies from something else than a
            feature map.
    """
    model = cfg.model
    head = model.get('cls_head') or {}
    if head.get('type') == 'DSTSHead':
        raise ValueError('model.cls_head is a DSTSHead already: give the '
                         'config of the plain recognizer.')
    backbone = str(model.get('backbone', {}).get('type'))
    if backbone in WITHOUT_MAP or backbone.startswith(OTHER_PACKAGES):
        raise ValueError(
            f'model.backbone is {backbone}, whose head does not classify '
            'from a feature map: DSTSHead has nothing to specialize there. '
            f'The same goes for {", ".join(WITHOUT_MAP)} and backbones of '
            'timm and torchvision.')
    if model.get('neck') is not None:
        raise ValueError(
            f"model.neck is {model.neck.get('type')}: a recognizer with a "
            'neck is specialized by hand, with DSTSNeck (see its docstring).')
    if not isinstance(head.get('in_channels'), int):
        raise ValueError('model.cls_head.in_channels must be an integer, got '
                         f"{head.get('in_channels')!r}.")
    if head.type != 'SlowFastHead':
        return (head.in_channels, )
    # The fast pathway has a channel_ratio-th of the slow one's channels.
    ratio = model.backbone.get('channel_ratio', 8)
    fast = head.in_channels // (ratio + 1)
    return head.in_channels - fast, fast


def _segments(cfg: Config) -> Dict[str, int]:
    """Frames per view, for heads of Recognizer2D that do not know them."""
    head = MODELS.get(cfg.model.cls_head.type)
    if (cfg.model.type != 'Recognizer2D'
            or 'num_segments' in inspect.signature(head).parameters):
        return {}
    return dict(
        num_segments=_sampled_frames(cfg.train_dataloader.dataset),
        test_num_segments=_sampled_frames(cfg.test_dataloader.dataset))


def _sampled_frames(dataset: Dict[str, Any]) -> int:
    for step in dataset['pipeline']:
        if 'SampleFrames' in step['type']:
            return step.get('clip_len', 1) * step.get('num_clips', 1)
    raise ValueError('the pipeline must have a SampleFrames, got '
                     f"{[step['type'] for step in dataset['pipeline']]}.")
