"""Build what an option describes, or name the option."""
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar('T')


def build(option: str, builder: Callable[..., T], config: Any,
          *args: Any, **kwargs: Any) -> T:
    """Call a builder on the config that an option has.

    Args:
        option: Name of the option of UpstreamDownstreamHook.
        builder: Called with the config and the further arguments.
        config: The option's value.
        *args: Further arguments of the builder.
        **kwargs: Likewise.

    Raises:
        ValueError: It cannot be built; says of which option and why.
    """
    try:
        return builder(config, *args, **kwargs)
    except (AttributeError, KeyError, OSError, TypeError,
            ValueError) as error:
        shown = config
        if isinstance(config, dict):
            shown = {k: v for k, v in config.items() if k != 'params'}
        reason = error.args[-1] if error.args else type(error).__name__
        raise ValueError(f'{option} of UpstreamDownstreamHook cannot be built '
                         f'from {shown!r}: {reason}') from error
