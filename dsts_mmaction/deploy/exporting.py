"""A deployed recognizer as a torch.export program and as ONNX."""
import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.models.heads import BaseHead
from mmaction.models.recognizers import Recognizer2D, Recognizer3D
from torch import Tensor, nn

from ..adapters.specialized import plain_head
from ..dsts import DSTSOutput
from ..utils.checkpoints import first_line
from .clips import Predictions, RoutingListener
from .fused_module import DeployedDSTSModule
from .fusing import fuse_conv_bn

PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
INPUT, OUTPUTS = 'clips', ['scores', 'routing']


def missing_packages() -> str | None:
    """Names of the packages for ONNX that are not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    return ', '.join(missing) or None


class Exportable(nn.Module):
    """From clips, as a test pipeline gives them, to predictions.

    Normalization, test views and their average are part of it.

    Args:
        model: A deployed recognizer in evaluation. It is copied.
        clips: A batch, for the number of views.

    Raises:
        ValueError: A kind of recognizer, head or data preprocessor whose
            steps from clips to scores are not known here.
    """

    def __init__(self, model: nn.Module, clips: Tensor) -> None:
        super().__init__()
        _check_kind(model)
        self.model = fuse_conv_bn(copy.deepcopy(model))
        for module in self.model.modules():
            if isinstance(module, DeployedDSTSModule):
                module.batched = True
        if self.model.test_cfg is not None:
            # It bounds memory, by a loop whose length depends on the batch.
            self.model.test_cfg = {
                key: value for key, value in self.model.test_cfg.items()
                if key != 'max_testing_views'}
        with torch.no_grad():
            self.num_views = len(self._view_scores(clips)) // len(clips)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and routing of :class:`Predictions`.

        Args:
            clips: Shape (B, views * T, channels, H, W) for Recognizer2D,
                else (B, views, channels, T, H, W).
        """
        with RoutingListener(self.model) as listener:
            scores = self._view_scores(clips)
        scores = plain_head(self.model).average_clip(
            scores, num_segs=self.num_views)
        return scores, listener.take()

    def _view_scores(self, clips: Tensor) -> Tensor:
        # What its preprocess does, which stacks a list of clips: a batch of
        # any size is none.
        preprocessor = self.model.data_preprocessor
        if preprocessor.to_rgb:
            axis = 2 if preprocessor.format_shape == 'NCHW' else -4
            clips = clips.flip(axis)
        if preprocessor._enable_normalize:
            clips = (clips - preprocessor.mean) / preprocessor.std
        elif preprocessor.to_float32:
            clips = clips.float()
        feats, options = self.model.extract_feat(clips, test_mode=True)
        return self.model.cls_head(feats, **options)


def _check_kind(model: nn.Module) -> None:
    head, name = plain_head(model), type(model).__name__
    if type(model) not in (Recognizer2D, Recognizer3D):
        raise ValueError(f'{name} cannot be exported; Recognizer2D and '
                         'Recognizer3D can.')
    if (type(head).predict is not BaseHead.predict
            or type(head).predict_by_feat is not BaseHead.predict_by_feat):
        raise ValueError(f'{name} with {type(head).__name__} cannot be '
                         'exported: this head predicts in a way of its own.')
    preprocessor = model.data_preprocessor
    if (type(preprocessor) is not ActionDataPreprocessor
            or preprocessor.format_shape not in ('NCHW', 'NCTHW')):
        raise ValueError(
            f'{name} with {type(preprocessor).__name__} of format_shape '
            f"{getattr(preprocessor, 'format_shape', None)!r} cannot be "
            "exported; ActionDataPreprocessor of 'NCHW' and 'NCTHW' can.")


def export(exportable: Exportable,
           clips: Tensor) -> torch.export.ExportedProgram:
    """The program of a deployed recognizer, for batches of any size.

    Args:
        exportable: The recognizer.
        clips: At least two clips, as from the test pipeline.

    Raises:
        ValueError: torch.export cannot take the recognizer.
    """
    model = exportable.model
    try:
        return _export(exportable, clips)
    except Exception as error:  # of many types
        reason = first_line(error)
        plain = without_dsts(exportable)
        try:
            _export(plain, clips)
        except Exception:
            raise ValueError(
                f'torch.export cannot take the plain recognizer, '
                f'{_describe(model)}, with or without DSTS: {reason} Give '
                '--no-onnx --no-export.') from error
        raise ValueError(
            f'torch.export cannot take DSTS in {_describe(model)}: {reason} '
            'Give --no-onnx --no-export.') from error


def _export(module: nn.Module,
            clips: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim('batch', min=1)
    with torch.no_grad(), _quiet():
        return torch.export.export(
            module, (clips,), dynamic_shapes=({0: batch},), strict=False)


def _describe(model: nn.Module) -> str:
    return f'{type(model).__name__} of {type(model.backbone).__name__}'


class _Nothing(nn.Module):
    """Stands where a DSTS module was."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels

    def forward(self, x: Tensor) -> DSTSOutput:
        return DSTSOutput(x, {}, x.new_zeros((1, 1), dtype=torch.int64))


def without_dsts(exportable: Exportable) -> Exportable:
    """The same recognizer without what DSTS does, to tell whose fault is."""
    plain = copy.deepcopy(exportable)
    for parent in list(plain.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, DeployedDSTSModule):
                setattr(parent, name, _Nothing(child.in_channels))
    return plain


def write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program as ONNX.

    Raises:
        ValueError: torch.onnx cannot take it.
    """
    try:
        with _quiet():
            converted = torch.onnx.export(
                program, dynamo=True, input_names=[INPUT],
                output_names=OUTPUTS, verbose=False,
                dynamic_shapes=({0: 'batch'},))  # only its name counts here
            converted.save(str(path))
    except Exception as error:  # of many types
        raise ValueError('torch.onnx cannot take the exported recognizer: '
                         f'{first_line(error)} Give --no-onnx.') from error
    if len(list(path.parent.glob(f'{path.name}*'))) > 1:
        raise ValueError('the ONNX file would be larger than 2 GB, and torch '
                         'then splits it: give --no-onnx.')


def run_program(program: torch.export.ExportedProgram,
                clips: Tensor, batch_size: int) -> Predictions:
    """Predictions of a program in batches of a size."""
    module = program.module()
    with torch.no_grad():
        return _in_batches(module, clips, batch_size)


def run_onnx(path: Path, clips: Tensor, batch_size: int) -> Predictions:
    """Predictions of onnxruntime in batches of a size."""
    return _in_batches(onnx_runner(path), clips, batch_size)


def onnx_runner(path: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Scores and routing of clips, from an ONNX file by onnxruntime."""
    import onnxruntime
    session = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider'])
    return lambda clips: tuple(map(torch.from_numpy, session.run(
        OUTPUTS, {INPUT: np.ascontiguousarray(clips)})))


def _in_batches(run: Callable[[Tensor], tuple[Tensor, ...]], clips: Tensor,
                batch_size: int) -> Predictions:
    scores, routing = zip(*(run(batch) for batch in clips.split(batch_size)))
    return Predictions(torch.cat(scores), torch.cat(routing))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on their own workings."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(disabled)
