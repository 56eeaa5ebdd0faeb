"""What is different about RecognizerOmni, and so asked for here only.

It trains on a batch of each source (images, videos) at a time, with a forward
for each, and is neither a Recognizer2D nor a Recognizer3D.
"""
from typing import Any

from mmaction.models.recognizers import RecognizerOmni
from torch import Tensor, nn


def is_omni(recognizer: Any) -> bool:
    """Whether a recognizer, or the config of one, is a RecognizerOmni."""
    if isinstance(recognizer, nn.Module):
        return isinstance(recognizer, RecognizerOmni)
    name = str(recognizer.get('type'))
    return name.rpartition('.')[2] == RecognizerOmni.__name__


def loss_arguments(recognizer: nn.Module, data: dict[str, Any]
                   ) -> tuple[tuple, dict[str, Any]]:
    """Arguments with which a recognizer's forward computes its losses.

    Args:
        recognizer: The recognizer, not wrapped.
        data: A preprocessed batch.
    """
    if is_omni(recognizer):
        return (data, ), dict(mode='loss')
    return (), dict(data, mode='loss')


def class_scores(recognizer: nn.Module, inputs: Tensor) -> Any:
    """Class scores of views.

    Args:
        recognizer: The recognizer, not wrapped.
        inputs: (B, frames, channels, H, W) for Recognizer2D, else (B, views,
            channels, frames, H, W).
    """
    if is_omni(recognizer):
        return recognizer.cls_head(recognizer.backbone(inputs[:, 0]))
    return recognizer(inputs, mode='tensor', stage='head')
