"""DSTSNeck in Recognizer3D."""
import pytest
import torch

from dsts_mmaction.adapters.specialized import dsts_modules, unspecialized
from tests.builders import (
    DSTS,
    build,
    clips,
    logits,
    randomize_dsts,
    samples,
    slowfast,
    slowonly,
    tsm,
)
from tests.reference import dense_forward


def with_neck(cfg, in_channels, **options):
    return dict(cfg, neck=dict(type='DSTSNeck', in_channels=in_channels,
                               dsts=DSTS, **options))


@pytest.mark.parametrize('cfg, in_channels', [(slowonly(), 128),
                                              (slowfast(), (128, 16))])
def test_neck_equals_reference_and_starts_as_identity(cfg, in_channels):
    plain = build(cfg).eval()
    special = build(with_neck(cfg, in_channels)).eval()
    result = special.load_state_dict(plain.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert all(k.startswith('neck.dsts.') for k in result.missing_keys)
    inputs = clips(cfg, videos=2, views=2)
    torch.testing.assert_close(logits(special, inputs), logits(plain, inputs))

    randomize_dsts(special)
    feats, _ = plain.extract_feat(inputs, test_mode=True)
    maps = feats if isinstance(feats, tuple) else (feats, )
    maps = tuple(
        dense_forward(m, each)[0]
        for m, each in zip(dsts_modules(special), maps))
    expected = plain.cls_head(maps if isinstance(feats, tuple) else maps[0])
    torch.testing.assert_close(logits(special, inputs), expected)
    assert not torch.allclose(logits(plain, inputs), expected)

    special.init_weights()
    for module in dsts_modules(special):
        assert not module.readout.linear.weight.any()


def test_auxiliary_losses_reach_the_recognizer():
    special = build(with_neck(slowonly(), 128)).train()
    losses = special.loss(clips(slowonly(), videos=3), samples(3))
    assert {'loss_cls', 'loss_dsts_balance', 'loss_dsts_router_z',
            'dsts_largest_share'} <= set(losses)


def test_max_testing_views():
    cfg = with_neck(slowonly(), 128)
    special = build(cfg).eval()
    randomize_dsts(special)
    inputs = clips(cfg, videos=1, views=4)
    expected = logits(special, inputs)
    special.test_cfg = dict(max_testing_views=2)
    torch.testing.assert_close(logits(special, inputs), expected)


def test_recognizer2d_is_refused_at_build_time():
    with pytest.raises(ValueError, match='DSTSNeck cannot be a neck of '
                       'Recognizer2D.*use DSTSHead'):
        build(with_neck(tsm(), 512))


def test_unspecialized_view_restores_the_model():
    special = build(with_neck(slowonly(), 128))
    names = list(special.state_dict())
    with unspecialized(special):
        assert list(special.state_dict()) == list(
            build(slowonly()).state_dict())
    assert list(special.state_dict()) == names
