import pytest
import torch
from mmaction.evaluation import AccMetric
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

from dsts_mmaction.compat.mmaction2 import float32
from tests.test_compat.helpers import unpatched


def test_bfloat16_scores_in_head():
    head = MODELS.build(
        dict(type='TSNHead', num_classes=3, in_channels=4, topk=1))
    samples = [ActionDataSample().set_gt_label(label) for label in (0, 2)]
    scores = torch.tensor([[9., 0, 0], [9., 0, 0]], dtype=torch.bfloat16)
    with pytest.raises(TypeError, match='BFloat16'):
        unpatched(type(head).loss_by_feat)(head, scores, samples)
    losses = head.loss_by_feat(scores, samples)
    assert losses['top1_acc'] == .5
    assert losses['loss_cls'].dtype == torch.float32


def test_other_scores_are_unchanged():
    for scores in (torch.ones(1), torch.ones(1, dtype=torch.float16), None):
        assert float32(scores) is scores


@pytest.mark.parametrize('named', [False, True])
def test_bfloat16_scores_in_metric(named):
    scores = torch.tensor([0., 1, 0], dtype=torch.bfloat16)
    sample = ActionDataSample().set_gt_label(1)
    sample.set_field(dict(rgb=scores) if named else scores, 'pred_score')
    sample = sample.to_dict()
    metric = AccMetric(metric_options=dict(top_k_accuracy=dict(topk=(1, ))))
    with pytest.raises(TypeError, match='BFloat16'):
        unpatched(AccMetric.process)(metric, None, [sample])
    metric.process(None, [sample])
    result = metric.compute_metrics(metric.results)
    assert result['rgb_top1' if named else 'top1'] == 1
    # The caller's sample is not touched.
    assert scores.dtype == torch.bfloat16


@pytest.mark.parametrize('config', [
    dict(type='ResNetTSM', depth=18),
    dict(type='MobileNetV2TSM', widen_factor=0.1),
    dict(type='SwinTransformer3D',
         arch=dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)),
], ids=lambda config: config['type'])
def test_no_checkpoint_is_no_pretraining(config):
    backbone = MODELS.build(dict(config, pretrained=None))
    with pytest.raises(TypeError):
        unpatched(type(backbone).init_weights)(backbone)
    backbone.init_weights()


def test_checkpoint_is_still_loaded(tmp_path):
    config = dict(type='ResNetTSM', depth=18)
    weights = MODELS.build(dict(config, is_shift=False)).state_dict()
    torch.save(weights, tmp_path / 'resnet.pth')
    backbone = MODELS.build(
        dict(config, pretrained=str(tmp_path / 'resnet.pth')))
    backbone.init_weights()
    torch.testing.assert_close(backbone.layer1[0].conv1.conv.net.weight,
                               weights['layer1.0.conv1.conv.weight'])
