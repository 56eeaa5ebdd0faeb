"""Upstream-Downstream Learning on a recognizer, under MMEngine's Runner."""
from .hook import UpstreamDownstreamHook

__all__ = ['UpstreamDownstreamHook']
