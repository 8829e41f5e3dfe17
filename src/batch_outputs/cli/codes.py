"""The exit codes that are ours; those of a program that `run` wraps are its own."""

USAGE = 2
FAILURE = 125
"""Something was not done, or not saved."""
INTERRUPTED = 130
"""After Ctrl-C, as a shell reports it."""
