"""A recognizer with its batch norms and DSTS modules fused, for inference."""
import copy

from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..dsts import DSTSModule
from .folding import fuse


def fuse_dsts(model: nn.Module) -> nn.Module:
    """A copy of a model in evaluation, its DSTS modules in deployed form."""
    model = copy.deepcopy(model).eval()
    # Forward hooks, as those of DSTSHead on a layer, are bound to the copy.
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, DSTSModule):
                setattr(parent, name, fuse(child))
    return model


def fuse_conv_bn(model: nn.Module) -> nn.Module:
    """Fold the batch norms of mmcv's ConvModules into their convolutions.

    In place, for a model in evaluation. ``mmcv.cnn.utils.fuse_conv_bn`` does
    it for 2D convolutions that are themselves children of the ConvModule:
    not for 3D ones, nor for those that TSM wraps with its shift.

    Args:
        model: Other norms than batch norms behind convolutions stay.

    Returns:
        The model.
    """
    for module in model.modules():
        if not (isinstance(module, ConvModule) and module.with_norm
                and module.order[:2] == ('conv', 'norm')
                and isinstance(module.norm,
                               nn.modules.batchnorm._BatchNorm)):
            continue
        # TSM's TemporalShift has the convolution as `net`.
        owner, name = module, 'conv'
        if not isinstance(module.conv, nn.modules.conv._ConvNd):
            owner, name = module.conv, 'net'
        conv = getattr(owner, name, None)
        if isinstance(conv, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            setattr(owner, name, fuse_conv_bn_eval(conv, module.norm))
            setattr(module, module.norm_name, nn.Identity())
    return model
