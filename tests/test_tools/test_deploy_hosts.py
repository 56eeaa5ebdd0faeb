"""Every host that has fine-tuning configs reaches ONNX."""
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from dsts_mmaction.deploy import exporting
from dsts_mmaction.deploy.clips import difference
from dsts_mmaction.deploy.fusing import fuse_dsts
from dsts_mmaction.utils.configs import view_shape, without_weights
from tests.builders import randomize_dsts
from tests.test_tools.test_deploy import NO_ONNX, expected_for, spread_routing

CONFIGS = [
    path for path in sorted((Path(__file__).parents[2] / 'configs').glob(
        '*/dsts-*_sthv2-rgb.py')) if not path.name.startswith('dsts-udl')]


@pytest.mark.slow
@pytest.mark.skipif(exporting.missing_packages() is not None, reason=NO_ONNX)
@pytest.mark.parametrize('config', CONFIGS, ids=lambda path: path.stem)
def test_onnx_predicts_the_same(config, tmp_path):
    cfg = without_weights(Config.fromfile(config))
    init_default_scope('mmaction')
    model = MODELS.build(cfg.model).eval()
    randomize_dsts(model)
    clips = torch.randint(256, (2, *view_shape(cfg)[1:]), dtype=torch.uint8)
    clips[1] //= 2  # another brightness, perhaps another path
    spread_routing(model, clips)
    expected = expected_for(model, clips)
    deployed = fuse_dsts(model)
    program = exporting.export(exporting.Exportable(deployed, clips), clips)
    path = tmp_path / 'recognizer.onnx'
    exporting.write_onnx(program, path)
    for size in (1, 2):
        assert difference(expected, exporting.run_onnx(
            path, clips, size)).is_small
