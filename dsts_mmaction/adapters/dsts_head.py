"""A head that specializes the features for the head it wraps."""
import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmaction.models.heads import SlowFastHead
from mmaction.models.recognizers import Recognizer2D
from mmaction.registry import MODELS
from mmaction.utils import SampleList
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from .frames import frames_per_view
from .layouts import Features, TokenLayout
from .pathways import Pathways
from .recognizers import (
    backbone_layer,
    backbone_name,
    recognizer_under_construction,
)


@MODELS.register_module()
class DSTSHead(BaseModule):
    """Wrap any MMAction2 head with specialized neurons, by config::

        cls_head=dict(
            type='DSTSHead',
            head=dict(type='TSMHead', ...),  # the recognizer's own head
            dsts=dict(num_neurons=10))

    The features go through the DSTS module and on to the wrapped head, whose
    loss, prediction and options stay its own. A state dict of the plain
    recognizer loads as it is: the wrapped head's parameters are found under
    their old names.

    Where the head gets no feature map, or one that comes from a neck, the
    module goes behind a layer of the backbone instead::

        cls_head=dict(
            type='DSTSHead',
            head=dict(type='TimeSformerHead', ...),
            layer='transformer_layers.layers.10', channels=768,
            tokens=dict(grid=(8, 14, 14), order='hwt', class_tokens=1),
            dsts=dict(num_neurons=10))

    Args:
        head: Config of the wrapped head.
        dsts: Options of :class:`dsts_mmaction.models.DSTSModule`.
        channels: Channels of the feature map; a sequence if the backbone has
            several pathways, ``(2048, 256)`` for SlowFast-R50. Defaults to
            the wrapped head's ``in_channels``.
        pathways: Indices of the pathways to specialize. Defaults to all.
        num_segments: Frames of one view in training and validation, for
            Recognizer2D if the wrapped head does not know (TSNHead).
        test_num_segments: Frames of one view in the test pipeline. Defaults
            to ``num_segments``.
        layer: Name of the submodule of the backbone whose output is
            specialized, instead of what reaches the head. Needs
            ``channels``.
        tokens: Options of :class:`TokenLayout`, for a layer that gives
            tokens.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ValueError: Options contradict each other or the wrapped head.
    """

    #: Called once in every :meth:`loss` with its arguments, options as a
    #: dict, before the features are specialized (UpstreamDownstreamHook).
    feature_listener: Callable[..., None] | None = None

    def __init__(self,
                 head: dict[str, Any],
                 dsts: dict[str, Any] | None = None,
                 channels: int | Sequence[int] | None = None,
                 pathways: Sequence[int] | None = None,
                 num_segments: int | None = None,
                 test_num_segments: int | None = None,
                 layer: str | None = None,
                 tokens: dict[str, Any] | None = None,
                 init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        recognizer = recognizer_under_construction()
        self.head = MODELS.build(head)
        if layer is None:
            channels = _checked_channels(self.head, channels)
        elif not isinstance(channels, int):
            raise ValueError(f'layer={layer!r} of DSTSHead needs channels, '
                             f'an integer, got {channels!r}.')
        self.dsts = Pathways(channels, dsts, pathways,
                             backbone=backbone_name(recognizer))
        self.frames = frames_per_view(self.head, num_segments,
                                      test_num_segments)
        if (isinstance(recognizer, Recognizer2D)
                and (layer is not None or not recognizer.with_neck)
                and self.frames.train is None):
            raise ValueError(
                f'{type(self.head).__name__} does not say how many frames a '
                'view has: set num_segments (and test_num_segments, if the '
                'test pipeline samples another number) of DSTSHead.')
        self.layer = layer
        self.tokens = _token_layout(tokens or {})
        self._layer_losses: dict[str, Tensor] = {}
        self._num_segs: int | None = None
        if layer is not None:
            backbone_layer(recognizer, layer).register_forward_hook(
                self._specialize_layer)
            if isinstance(recognizer, Recognizer2D):
                # It tells its head how many frames there are, not its layers.
                recognizer.register_forward_pre_hook(self._count_frames,
                                                     with_kwargs=True)
        elif recognizer is not None:
            recognizer.register_forward_hook(self._specialize_extracted)

    def forward(self, feats: Features, **kwargs: Any) -> Tensor:
        """Class scores of the wrapped head for specialized features."""
        feats, _ = self._specialize(feats, kwargs)
        return self.head(feats, **kwargs)

    def loss(self, feats: Features, data_samples: SampleList,
             **kwargs: Any) -> dict[str, Tensor]:
        """The wrapped head's losses and those of the DSTS module."""
        if self.feature_listener is not None:
            self.feature_listener(feats, data_samples, kwargs)
        return self.loss_from_features(feats, data_samples, **kwargs)

    def loss_from_features(self, feats: Features, data_samples: SampleList,
                           **kwargs: Any) -> dict[str, Tensor]:
        """As :meth:`loss`, without telling the listener."""
        feats, dsts_losses = self._specialize(feats, kwargs)
        losses = self.head.loss(feats, data_samples, **kwargs)
        return {**losses, **dsts_losses}

    def predict(self, feats: Features, data_samples: SampleList,
                **kwargs: Any) -> SampleList:
        """The wrapped head's predictions for specialized features."""
        feats, _ = self._specialize(feats, kwargs)
        return self.head.predict(feats, data_samples, **kwargs)

    def init_weights(self) -> None:
        """Initialise the wrapped head by its own rules, DSTS to identity."""
        # A recognizer's own init_cfg may have touched every norm layer.
        self.dsts.reset_parameters()
        super().init_weights()

    def unspecialized(self) -> nn.Module:
        """What stands here in the plain recognizer: the wrapped head."""
        return self.head

    @property
    def average_clips(self) -> str | None:
        """How the wrapped head averages the views of a video."""
        return self.head.average_clips

    @average_clips.setter
    def average_clips(self, value: str | None) -> None:
        self.head.average_clips = value

    @property
    def num_classes(self) -> int:
        """Classes of the wrapped head."""
        return self.head.num_classes

    @num_classes.setter
    def num_classes(self, value: int) -> None:
        self.head.num_classes = value

    @property
    def in_channels(self) -> int:
        """Input channels of the wrapped head."""
        return self.head.in_channels

    @in_channels.setter
    def in_channels(self, value: int) -> None:
        self.head.in_channels = value

    @property
    def topk(self) -> tuple[int, ...]:
        """The k of the wrapped head's top-k training accuracies."""
        return self.head.topk

    @topk.setter
    def topk(self, value: tuple[int, ...]) -> None:
        self.head.topk = value

    def _specialize(
            self, feats: Features,
            kwargs: dict[str, Any]) -> tuple[Features, dict[str, Tensor]]:
        if self.layer is not None:
            # Done already, on the way here.
            losses, self._layer_losses = self._layer_losses, {}
            return feats, losses
        return self.dsts(feats, self.frames.of(kwargs.get('num_segs'),
                                               self.training))

    def _specialize_layer(self, layer: nn.Module, args: tuple,
                          output: Any) -> Any:
        """Forward hook of :attr:`layer`: specialize what it gives."""
        if isinstance(output, (list, tuple)):
            # MViT's blocks give tokens and their grid.
            features, *rest = output
            features = self._specialize_output(features, *rest[:1])
            return type(output)((features, *rest))
        return self._specialize_output(output)

    def _specialize_output(self, output: Tensor,
                           grid: Sequence[int] | None = None) -> Tensor:
        num_frames = self.frames.of(self._num_segs, self.training)
        clips = self.tokens.to_clips(output, self.layer, grid, num_frames)
        clips, self._layer_losses = self.dsts(clips)
        return self.tokens.from_clips(clips, output)

    def _count_frames(self, recognizer: nn.Module, args: tuple,
                      kwargs: dict[str, Any]) -> None:
        """Forward pre-hook of Recognizer2D: frames of all views."""
        inputs = args[0] if args else kwargs['inputs']
        self._num_segs = inputs.shape[1]

    def _specialize_extracted(self, recognizer: nn.Module, args: tuple,
                              output: Any) -> Any:
        """Forward hook of the recognizer, for MMAction2's get_flops.py.

        It puts ``extract_feat``, which ends before the head, in the place
        of ``forward``, and would count a recognizer without DSTS.
        """
        if (torch.compiler.is_compiling()
                or recognizer.forward != recognizer.extract_feat):
            return output
        feats, options = output
        return self._specialize(feats, options)[0], options

    def _load_from_state_dict(self, state_dict: dict[str, Tensor],
                              prefix: str, *args: Any) -> None:
        # Both torch's and MMEngine's loader come through here, parent first.
        is_plain, fresh = False, []
        for name, value in self.head.state_dict().items():
            plain, wrapped = prefix + name, f'{prefix}head.{name}'
            if plain in state_dict and wrapped not in state_dict:
                state_dict[wrapped] = state_dict.pop(plain)
                is_plain = True
            if wrapped in state_dict and (value.shape
                                          != state_dict[wrapped].shape):
                fresh.append(f'{wrapped} {tuple(value.shape)}, there '
                             f'{tuple(state_dict[wrapped].shape)}')
        if is_plain:
            print_log("The checkpoint is a plain recognizer's: DSTS starts "
                      'as the identity.', logger='current')
        if fresh:
            # MMEngine prints it, but not into the log.
            print_log('The checkpoint has a head of another shape, which is '
                      f'not loaded; everything else is: {"; ".join(fresh)}.',
                      logger='current', level=logging.WARNING)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _token_layout(options: dict[str, Any]) -> TokenLayout:
    allowed = [field.name for field in dataclasses.fields(TokenLayout)]
    for name in options:
        if name not in allowed:
            raise ValueError(f'tokens of DSTSHead has no option {name!r}; '
                             f'allowed are {", ".join(allowed)}.')
    return TokenLayout(**options)


def _checked_channels(
    head: nn.Module, channels: int | Sequence[int] | None
) -> int | Sequence[int]:
    """Channels of the features, checked against the wrapped head's."""
    in_channels = getattr(head, 'in_channels', None)
    name = type(head).__name__
    if isinstance(head, SlowFastHead) and (channels is None
                                           or isinstance(channels, int)):
        raise ValueError(
            f'{name} takes two pathways: set channels of DSTSHead to the '
            'channels of the slow and the fast one, such as (2048, 256) of '
            f'2304 in all; got channels={channels} of {in_channels}.')
    if channels is None:
        if not isinstance(in_channels, int):
            raise ValueError(f'{name} does not say how many channels its '
                             'features have: set channels of DSTSHead.')
        return in_channels
    total = channels if isinstance(channels, int) else sum(channels)
    if isinstance(in_channels, int) and total != in_channels:
        raise ValueError(f'channels={channels} of DSTSHead must sum to '
                         f'in_channels={in_channels} of {name}.')
    return channels
