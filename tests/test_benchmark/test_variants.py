import pytest
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.benchmark.variants import (
    DEFAULT_VARIANTS,
    VARIANTS,
    dsts_options,
    matching_width,
    parse_variant,
)
from dsts_mmaction.models import DSTSModule
from dsts_mmaction.tailor.placement import feature_channels
from dsts_mmaction.tailor.specialize import count_parameters, specialize_config
from tests.builders import slowfast, tsm


def trained(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('channels', [(512, ), (2048, ), (512, 64)])
def test_control_has_as_many_parameters(channels):
    base = dict(num_neurons=10, num_layers=3)
    options = dsts_options(VARIANTS['control_parameters'], base, channels)
    control = sum(trained(DSTSModule(c, **options)) for c in channels)
    target = sum(trained(DSTSModule(c, **base)) for c in channels)
    assert abs(control - target) < 0.02 * target
    assert not options['gates'] and options['num_neurons'] == 1


def test_matching_width_is_the_nearest_of_all():
    options, channels = dict(num_neurons=2, num_layers=1), (24, )
    for target in (1, 2000, 12345):
        counts = {
            width: count_parameters({**options, 'mid_channels': width},
                                    channels)
            for width in range(1, 40)}
        nearest = min(counts, key=lambda w: abs(counts[w] - target))
        assert matching_width(options, channels, target) == nearest


@pytest.mark.parametrize('name', [n for n in VARIANTS if 'base' not in n])
def test_every_variant_builds(name):
    init_default_scope('mmaction')
    cfg = Config(dict(model=slowfast() if name == 'dsts_udl1' else tsm(),
                      optim_wrapper=dict()))
    base = dict(num_neurons=3, num_layers=2, mid_channels=8)
    variant = VARIANTS[name]
    options = dsts_options(variant, base, feature_channels(cfg))
    assert variant.dsts.items() <= options.items()
    model = MODELS.build(specialize_config(cfg, options, variant.udl).model)
    for module in dsts_modules(model):
        assert module.num_neurons == options['num_neurons']
        assert module.num_layers == options['num_layers']


def test_control_of_compute_only_takes_the_choices_away():
    base = dict(num_neurons=7, num_layers=4, mid_channels=24)
    assert dsts_options(VARIANTS['control_compute'], base, (64, )) == dict(
        base, num_neurons=1, gates=False)


def test_default_variants():
    assert DEFAULT_VARIANTS[0] == 'baseline'
    assert DEFAULT_VARIANTS[-1] == 'dsts_udl2'


def test_further_variant():
    variant = parse_variant(
        "wide:mid_channels=64,gates=False,udl=1,udl.inner_lr='auto'")
    assert variant.name == 'wide'
    assert variant.dsts == dict(mid_channels=64, gates=False)
    assert (variant.udl, variant.udl_options) == (1, dict(inner_lr='auto'))
    assert parse_variant('again:').udl is None


@pytest.mark.parametrize('text, words', [
    ('baseline:udl=2', "a new NAME:key=value,…, got 'baseline"),
    (':udl=2', 'a new NAME'),
    ('control_paramters', 'those with names are baseline, '),
    ('a:neurons=3', "has an option 'neurons'; allowed are num_neurons,"),
    ('a:in_channels=3', 'has an option'),
    ('a:num_neurons=many', "must be a Python literal, got 'many'"),
    ('a:num_neurons', 'must be a Python literal'),
    ('a:udl=3', 'udl must be 1 or 2, got 3'),
    ('a:udl.interval=2', 'udl must be 1 or 2, got None'),
    ('a:udl=True', 'udl must be 1 or 2, got True'),
    ('a:udl=2,udl.order=1', "has an option 'udl.order'; allowed are"),
    ('a:udl=2,udl.type=1', "has an option 'udl.type'; allowed are"),
    ('a:udl=2,udl.steps=1', 'udl.OPTION of optimizer, inner_lr, held_out, '),
    ('a:udl=2,udl.optimizer.lr=1', "has an option 'udl.optimizer.lr'"),
])
def test_wrong_variant(text, words):
    with pytest.raises(ValueError) as error:
        parse_variant(text)
    assert words in str(error.value)
