"""Where in a recognizer the DSTS module goes.

Into the head, where the head classifies from the backbone's feature map;
elsewhere behind a layer of the backbone that what is classified still
depends on.
"""
import inspect
from collections.abc import Callable
from typing import Any

from mmaction.registry import MODELS
from mmengine.config import Config

from ..adapters.omni import is_omni
from ..adapters.specialized import check_plain
from ..utils.configs import sampled_frames

#: Recognizers of skeletons, sound and several modalities.
OTHER_INPUTS = ('RecognizerGCN', 'RecognizerAudio', 'MMRecognizer3D')
OTHER_PACKAGES = ('timm.', 'torchvision.')


def placement(cfg: Config) -> dict[str, Any]:
    """Options of DSTSHead that say where its module goes.

    Args:
        cfg: Config of a plain recognizer.

    Raises:
        ValueError: The recognizer has no head, is specialized already, or
            the place has to be given by hand (``layer`` and ``channels`` of
            DSTSHead).
    """
    check_recognizer(cfg)
    if not cfg.model.get('cls_head'):
        raise ValueError('model.cls_head must be there to be specialized, '
                         'got none.')
    check_plain(cfg)
    return {**_place(cfg.model), **_segments(cfg)}


def check_recognizer(cfg: Config) -> None:
    """Check that a config is that of a recognizer of videos.

    Raises:
        ValueError: It is not.
    """
    model = cfg.get('model') or {}
    if model.get('backbone') is None:
        raise ValueError('the config is none of a recognizer: it has no '
                         'model.backbone.')
    if str(model.get('type')) in OTHER_INPUTS:
        raise ValueError(f'model.type is {model.type}, which has no map in '
                         'space and time: give the config of a recognizer of '
                         'videos.')


def feature_channels(cfg: Config) -> tuple[int, ...]:
    """Channels of the features that are specialized, per pathway.

    Raises:
        ValueError: As :func:`placement`.
    """
    return channels_at(cfg, placement(cfg))


def channels_at(cfg: Config, place: dict[str, Any]) -> tuple[int, ...]:
    """As :func:`feature_channels`, where :func:`placement` is known."""
    channels = place.get('channels', cfg.model.cls_head.get('in_channels'))
    return (channels, ) if isinstance(channels, int) else tuple(channels)


def described(place: dict[str, Any]) -> tuple[str, str]:
    """A place in words, and whether UDL shares the features it computes.

    Args:
        place: Options of DSTSHead, such as :func:`placement` gives.
    """
    layer = place.get('layer')
    if layer is not None:
        as_tokens = ('tokens' in place
                     and not place['tokens'].get('channels_last'))
        return (f'the output of `{layer}`'
                + (', as tokens' if as_tokens else ''), 'computed twice')
    several = not isinstance(place.get('channels', 0), int)
    return ('both maps at the head' if several else 'the map at the head',
            'shared')


def _place(model: dict[str, Any]) -> dict[str, Any]:
    head, backbone = model.cls_head, model.backbone
    name = str(backbone.get('type'))
    if name.startswith(OTHER_PACKAGES):
        return _of_another_package(name, head.get('in_channels'))
    if model.get('neck') is not None:
        return _before_neck(model.neck)
    layer = LAYERS.get(name)
    if layer is not None:
        return layer(backbone)
    if not isinstance(head.get('in_channels'), int):
        raise ValueError('model.cls_head.in_channels must be an integer, got '
                         f"{head.get('in_channels')!r}.")
    if head.type != 'SlowFastHead':
        return {}
    # The fast pathway has a channel_ratio-th of the slow one's channels.
    ratio = backbone.get('channel_ratio', 8)
    fast = head.in_channels // (ratio + 1)
    return dict(channels=(head.in_channels - fast, fast))


def _default(backbone: dict[str, Any], option: str) -> Any:
    """An option of a backbone, by default that of its class."""
    if option in backbone:
        return backbone[option]
    signature = inspect.signature(MODELS.get(backbone['type']))
    return signature.parameters[option].default


def _c3d(backbone: dict[str, Any]) -> dict[str, Any]:
    """Before it is flattened."""
    return dict(layer='pool5', channels=512)


def _vit(backbone: dict[str, Any]) -> dict[str, Any]:
    """VideoMAE: behind the last block, whose tokens are averaged."""
    depth, channels, size, patch, frames, tubelet = (
        _default(backbone, option) for option in (
            'depth', 'embed_dims', 'img_size', 'patch_size', 'num_frames',
            'tubelet_size'))
    side = size // patch
    return dict(layer=f'blocks.{depth - 1}', channels=channels,
                tokens=dict(grid=(frames // tubelet, side, side)))


def _timesformer(backbone: dict[str, Any]) -> dict[str, Any]:
    """Before the last layer, which the class token has still to pass."""
    layers, channels, size, patch, frames = (
        _default(backbone, option) for option in (
            'num_transformer_layers', 'embed_dims', 'img_size', 'patch_size',
            'num_frames'))
    side = size // patch
    return dict(layer=f'transformer_layers.layers.{layers - 2}',
                channels=channels,
                tokens=dict(grid=(frames, side, side), order='hwt',
                            class_tokens=1))


def _mvit(backbone: dict[str, Any]) -> dict[str, Any]:
    """Before the last block, which the class token has still to pass."""
    # How wide it is follows from a table and a few rules.
    built = MODELS.build({
        key: value for key, value in backbone.items()
        if key not in ('init_cfg', 'pretrained')})
    number = len(built.blocks) - 2
    return dict(layer=f'blocks.{number}',
                channels=built.blocks[number].out_dims,
                tokens=dict(class_tokens=int(built.with_cls_token)))


def _uniformerv2(backbone: dict[str, Any]) -> dict[str, Any]:
    """Behind the last layer that the video's class token reads."""
    read, channels, size, patch, frames, halved = (
        _default(backbone, option) for option in (
            'return_list', 'width', 'input_resolution', 'patch_size',
            't_size', 'temporal_downsample'))
    side = size // patch
    return dict(layer=f'transformer.resblocks.{max(read)}', channels=channels,
                tokens=dict(
                    grid=(frames // 2 if halved else frames, side, side),
                    class_tokens=1, sequence_first=True))


#: For backbones whose head gets no map.
LAYERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = dict(
    C3D=_c3d, MViT=_mvit, TimeSformer=_timesformer,
    UniFormerV2=_uniformerv2, VisionTransformer=_vit)


def _before_neck(neck: dict[str, Any]) -> dict[str, Any]:
    """Behind the last stage: the neck and its rules stay as they are."""
    channels = neck.get('in_channels')
    if neck.get('type') != 'TPN' or not channels:
        raise ValueError(f"model.neck is {neck.get('type')}: give layer and "
                         'channels of DSTSHead by hand.')
    return dict(layer='layer4', channels=channels[-1])


#: Of models that timm and torchvision have, by the start of their names:
#: the layer that gives what Recognizer2D averages.
OTHER_LAYERS: dict[str, dict[str, Any]] = {
    **{f'{package}.{name}': dict(layer='layer4')
       for package in ('timm', 'torchvision')
       for name in ('resne', 'wide_resne', 'seresne')},
    **{f'torchvision.{name}': dict(layer='features')
       for name in ('convnext', 'densenet', 'efficientnet', 'mobilenet')},
    'timm.swin_': dict(layer='norm', tokens=dict(channels_last=True)),
}


def _of_another_package(name: str, channels: int | None) -> dict[str, Any]:
    for start, place in OTHER_LAYERS.items():
        if name.startswith(start) and isinstance(channels, int):
            return dict(place, channels=channels)
    raise ValueError(f'model.backbone is {name}: give layer and channels of '
                     'DSTSHead by hand.')


def _segments(cfg: Config) -> dict[str, int]:
    """Frames per view, for heads of Recognizer2D that do not know them."""
    if is_omni(cfg.model):
        return dict(num_segments=1)  # for its images; clips have an axis
    head = MODELS.get(cfg.model.cls_head.type)
    if (cfg.model.type != 'Recognizer2D'
            or 'num_segments' in inspect.signature(head).parameters):
        return {}
    return dict(
        num_segments=sampled_frames(cfg.train_dataloader.dataset, True),
        test_num_segments=sampled_frames(cfg.test_dataloader.dataset, True))
