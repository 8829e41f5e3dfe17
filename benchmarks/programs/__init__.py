"""The programs that are run: the peers' scripts, and what writes the logs that are tracked."""
