"""Test a recognizer with MMAction2's test.py, same arguments."""
import sys

from dsts_mmaction.compat.host_tools import run_tool

if __name__ == '__main__':
    run_tool('test.py', sys.argv[1:])
