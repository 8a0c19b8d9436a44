"""The fault campaign: real servers, real faults, and a checker that shares no code with the worker."""

import sys
from pathlib import Path

# The harness of the end-to-end tests is used as it is.
_harness_home = str(Path(__file__).resolve().parents[2] / "e2e")
if _harness_home not in sys.path:
    sys.path.insert(0, _harness_home)
