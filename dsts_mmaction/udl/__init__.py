"""Upstream-Downstream Learning on a recognizer, under MMEngine's Runner.

The hyper-gradient itself is pure torch, in ``dsts/hyper_gradient.py``. Here,
in reading order:

1. ``options``: what can be set;
2. ``samples``, ``tails``: what reaches the DSTS module, and what runs from
   there to the losses;
3. ``steps``: the simulated step and the upstream step on a recognizer;
4. ``hook``: when they happen in a Runner's training, and what is saved;
5. ``schedule``, ``held_out``, ``random_streams``, ``log``, ``statistics``,
   ``checks``: what the hook is made of besides.
"""
from .hook import UpstreamDownstreamHook

__all__ = ['UpstreamDownstreamHook']
