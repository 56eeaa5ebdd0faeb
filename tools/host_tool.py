"""Run any tool of MMAction2 with this package imported first.

Usage:
    python tools/host_tool.py analysis_tools/confusion_matrix.py ARGS...
"""
import sys

from dsts_mmaction.compat.host_tools import run_tool

if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        print(__doc__.strip())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    run_tool(sys.argv[1], sys.argv[2:])
