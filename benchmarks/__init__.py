"""What batch-outputs costs, side by side with other programs: `python -m benchmarks --help`."""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).parents[1] / "tests")
if _TESTS not in sys.path:
    # The tests' parts start the services and find the peers; this goes before what else is called `support`.
    sys.path.insert(0, _TESTS)
