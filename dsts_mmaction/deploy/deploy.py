"""Write the deployed form of a specialized recognizer, once it is checked."""
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import nn

from ..adapters.pathways import Pathways
from ..adapters.specialized import dsts_modules
from ..tailor.inheriting import load_as_base, write_inheriting
from . import exporting
from .clips import (
    TOLERANCE,
    Clip,
    Difference,
    Predictions,
    difference,
    predict,
    read_clips,
)
from .fusing import fuse_dsts
from .loading import (
    build_recognizer,
    deploy_config,
    load_specialized,
    load_strictly,
)

COMMENT = ('Written by tools/deploy.py, for tests and inference with the\n'
           'checkpoint beside it.')


class Written(NamedTuple):
    """A file, and how its predictions differ from the trained model's.

    Attributes:
        path: Where it is.
        difference: None for the config, which predicts nothing by itself.
    """
    path: Path
    difference: Difference | None


def deploy(config: str, checkpoint: str | Path, out: Path,
           num_clips: int = 4, onnx: bool = True, program: bool = True,
           force: bool = False,
           cfg_options: dict[str, Any] | None = None) -> list[Written]:
    """Fuse a specialized recognizer, check it on clips and write it.

    Args:
        config: Of the specialized recognizer, a file or ``PACKAGE::FILE``.
        checkpoint: Its checkpoint.
        out: Folder to write into.
        num_clips: Clips of the config's test set to check on, at least 2.
        onnx: Whether to write an ONNX file.
        program: Whether to write a torch.export program.
        force: Whether files that exist may be replaced.
        cfg_options: Options of the config to change, by dotted name.

    Returns:
        What was written.

    Raises:
        ValueError: An argument is not usable, torch cannot export the
            recognizer, or a written form does not predict what the trained
            model predicts. Nothing is written then.
        OSError: A file that cannot be read or written.
    """
    if num_clips < 2:
        raise ValueError(f'--clips must be 2 or more, got {num_clips}.')
    suffixes = ['.py', '.pth', *(['.onnx'] if onnx else []),
                *(['.pt2'] if program else [])]
    files = _files(config, out, suffixes, force)
    missing = exporting.missing_packages() if onnx else None
    if missing:
        raise ValueError(f'ONNX needs {missing}, not installed here: pip '
                         "install 'dsts_mmaction[deploy]', or give --no-onnx.")
    base = cfg = load_as_base(config)
    if cfg_options:
        cfg = Config(cfg.to_dict())
        cfg.merge_from_dict(cfg_options)
    try:
        small = deploy_config(cfg)
    except ValueError as error:
        raise ValueError(f'{config} cannot be deployed: {error}') from error

    trained, meta = load_specialized(cfg, checkpoint)
    _check_modules(trained)
    clips = read_clips(cfg, num_clips)
    expected = predict(trained, clips)
    deployed = build_recognizer(small)
    load_strictly(deployed, fuse_dsts(trained).state_dict(),
                  'the fused state dict')
    written = {'.pth': _checked('.pth', expected, predict(deployed, clips))}

    # On the same disk, so that files that are whole only change names. The
    # folder is not made before there is something to write into it.
    near = next(path for path in (out, *out.parents) if path.exists())
    with tempfile.TemporaryDirectory(prefix='.deploy-', dir=near) as folder:
        parts = {suffix: Path(folder) / f'part{suffix}' for suffix in files}
        meta = {key: value for key, value in meta.items() if key != 'cfg'}
        torch.save(dict(state_dict=deployed.state_dict(), meta=meta),
                   parts['.pth'])
        if onnx or program:
            written.update(_export(deployed, clips, expected, parts))
        out.mkdir(parents=True, exist_ok=True)
        # Its base is named from where it lies.
        write_inheriting(files['.py'], config, base, small, COMMENT)
        for suffix, part in parts.items():
            if suffix != '.py':
                os.replace(part, files[suffix])
    return [Written(path, written.get(suffix))
            for suffix, path in files.items()]


def _files(config: str, out: Path, suffixes: list[str],
           force: bool) -> dict[str, Path]:
    """Where the files of these suffixes go."""
    if out.exists() and not out.is_dir():
        raise ValueError(f'--out {out} must be a folder, and is a file.')
    name = Path(config.partition('::')[2] or config).stem
    files = {suffix: out / f'{name}_deploy{suffix}' for suffix in suffixes}
    for path in files.values():
        if path.exists() and not force:
            raise ValueError(f'{path} exists: give --force to replace it, or '
                             'another --out.')
    return files


def _check_modules(model: nn.Module) -> None:
    known = [child for module in model.modules()
             if isinstance(module, Pathways) for child in module]
    if len(list(dsts_modules(model))) > len(known):
        raise ValueError('the recognizer has a DSTSModule outside DSTSHead '
                         'and DSTSNeck, which a config cannot deploy: call '
                         'dsts_mmaction.models.dsts.fuse on it.')


def _export(deployed: nn.Module, clips: list[Clip], expected: Predictions,
            parts: dict[str, Path]) -> dict[str, Difference]:
    """Write the exported forms that are asked for, and check them."""
    if len(clips) < 2:
        raise ValueError('the data set of test_dataloader gives a single '
                         'clip, and exporting takes 2 or more: use a longer '
                         'one, or give --no-onnx --no-export.')
    inputs = [clip['inputs'] for clip in clips]
    if len({clip.shape for clip in inputs}) > 1:
        raise ValueError('the test pipeline gives clips of different sizes, '
                         'and an exported recognizer takes one: let it crop, '
                         'or give --no-onnx --no-export.')
    batch = torch.stack(inputs)
    program = exporting.export(
        exporting.Exportable(deployed, batch), batch)
    found = {}
    # One by one, and several at once.
    for size in (1, len(batch)):
        if '.pt2' in parts:
            found.setdefault('.pt2', []).append(
                exporting.run_program(program, batch, size))
        if '.onnx' in parts:
            if size == 1:
                exporting.write_onnx(program, parts['.onnx'])
            found.setdefault('.onnx', []).append(
                exporting.run_onnx(parts['.onnx'], batch, size))
    if '.pt2' in parts:
        torch.export.save(program, parts['.pt2'])
    return {
        suffix: max((_checked(suffix, expected, each) for each in sizes),
                    key=lambda difference: difference.scores)
        for suffix, sizes in found.items()}


def _checked(suffix: str, expected: Predictions,
             actual: Predictions) -> Difference:
    found = difference(expected, actual)
    if not found.is_small:
        raise ValueError(
            f'the predictions of the {suffix} file would differ from the '
            f"trained model's by {found}; allowed are {TOLERANCE:.0e} and the "
            'same routing. Nothing was written.')
    return found
