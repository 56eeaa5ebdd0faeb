"""The recognizers that are compared: with, without and instead of DSTS."""
import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models import DSTSModule
from ..tailor.specialize import count_parameters
from ..udl.options import UDLOptions


@dataclass(frozen=True)
class Variant:
    """One way to train a host.

    Attributes:
        name: Its name on the command line and in results.
        title: What it is, for readers of tables.
        dsts: Options of DSTSModule; None for the plain recognizer.
        udl: Order of Upstream-Downstream Learning; None for joint training.
        udl_options: Further options of UpstreamDownstreamHook.
        extra_budget: The plain recognizer, trained for the extra epochs.
        match: ``'parameters'`` widens the module until it has as many
            parameters as DSTS with default options.
    """
    name: str
    title: str
    dsts: dict[str, Any] | None = None
    udl: int | None = None
    udl_options: dict[str, Any] = field(default_factory=dict)
    extra_budget: bool = False
    match: str | None = None


# One neuron that every sample passes, each channel with both operators:
# nothing is chosen.
UNROUTED = dict(num_neurons=1, gates=False)

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant('baseline', 'plain'),
        Variant('baseline_extra', 'plain, extra budget', extra_budget=True),
        Variant('control_compute', 'unspecialized, same compute', UNROUTED),
        Variant('control_parameters', 'unspecialized, same parameters',
                UNROUTED, match='parameters'),
        Variant('dsts_joint', 'DSTS, joint', {}),
        Variant('dsts_udl1', 'DSTS, UDL of order 1', {}, udl=1),
        Variant('dsts_udl2', 'DSTS, UDL of order 2', {}, udl=2),
        # Ablations of joint DSTS.
        Variant('no_gates', 'no gates', dict(gates=False)),
        Variant('no_synapses', 'one neuron', dict(num_neurons=1)),
        Variant('own_kernels', 'no shared kernels',
                dict(shared_kernels=False)),
        Variant('shared_readout', 'one readout for all neurons',
                dict(specialized_readout=False)),
        Variant('noise', 'with Gumbel noise', dict(noise_scale=1.0)),
        Variant('neurons_4', '4 neurons', dict(num_neurons=4)),
        Variant('neurons_32', '32 neurons', dict(num_neurons=32)),
        Variant('layers_1', '1 layer', dict(num_layers=1)),
        Variant('layers_5', '5 layers', dict(num_layers=5)),
        Variant('cosines_1', 'average over time', dict(cosines=1)),
        Variant('no_balance', 'no router losses',
                dict(balance_loss_weight=0, router_z_loss_weight=0)),
    )
}
DEFAULT_VARIANTS = list(VARIANTS)[:7]


def parse_variant(text: str) -> Variant:
    """A further variant, ``'NAME:key=value,key=value'``.

    Args:
        text: Keys are options of DSTSModule, ``udl`` (the order) and
            ``udl.OPTION`` of UpstreamDownstreamHook.

    Raises:
        ValueError: Anything else.
    """
    name, colon, options = text.partition(':')
    if not (name.isidentifier() and colon) or name in VARIANTS:
        raise ValueError('a further variant must be a new NAME:key=value,…, '
                         f'got {text!r}; those with names are '
                         f'{", ".join(VARIANTS)}.')
    allowed = list(module_defaults())
    # The order is udl itself.
    allowed_udl = [option for option in
                   inspect.signature(UDLOptions).parameters
                   if option != 'order']
    dsts, udl_options, udl = {}, {}, None
    for option in filter(None, options.split(',')):
        key, _, value = option.partition('=')
        group, _, udl_option = key.rpartition('.')
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise ValueError(f'variant {name}: the value of {key} must be a '
                             f'Python literal, got {value!r}.') from None
        if key == 'udl':
            udl = value
        elif group == 'udl' and udl_option in allowed_udl:
            udl_options[udl_option] = value
        elif key in allowed:
            dsts[key] = value
        else:
            raise ValueError(f'variant {name} has an option {key!r}; allowed '
                             f'are {", ".join(allowed)}, udl (the order) and '
                             f'udl.OPTION of {", ".join(allowed_udl)}.')
    if (udl not in (None, 1, 2) or isinstance(udl, bool)
            or (udl is None and udl_options)):
        raise ValueError(f'variant {name}: udl must be 1 or 2, got {udl!r}.')
    return Variant(name, options.replace(',', ', ') or 'DSTS, joint', dsts,
                   udl, udl_options)


def module_defaults() -> dict[str, Any]:
    """The options of DSTSModule, and what they are where nothing is said."""
    return {name: option.default for name, option in
            inspect.signature(DSTSModule).parameters.items()
            if name != 'in_channels'}


def dsts_options(variant: Variant, base: dict[str, Any],
                 channels: Sequence[int]) -> dict[str, Any]:
    """The options of a variant's DSTS modules.

    Args:
        variant: Not a plain one.
        base: Options that the variant's override.
        channels: Channels of the features, per pathway.
    """
    options = {**base, **variant.dsts}
    if variant.match == 'parameters':
        options['mid_channels'] = matching_width(
            options, channels, count_parameters(base, channels))
    return options


def matching_width(options: dict[str, Any], channels: Sequence[int],
                   target: int) -> int:
    """The ``mid_channels`` that come nearest to a number of parameters."""
    def excess(width: int) -> int:
        return count_parameters({**options, 'mid_channels': width},
                                channels) - target

    low, high = 1, 2
    while excess(high) < 0:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if excess(middle) < 0:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda width: abs(excess(width)))
