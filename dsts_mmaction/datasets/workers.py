"""How processes of a pool start."""
import signal


def leave_signals_to_parent() -> None:
    """Let the parent end this process, whatever handlers it has itself.

    Ctrl-C is the parent's business, which ends its workers by SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
