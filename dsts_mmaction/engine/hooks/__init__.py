from .upstream_downstream_hook import UpstreamDownstreamHook

__all__ = ['UpstreamDownstreamHook']
