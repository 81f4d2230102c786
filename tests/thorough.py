"""How often something is tried: less often in every run than with TEST_THOROUGH=1 in the environment.

The variable has no ``MAVIS_`` in front: the server would refuse it as an unknown setting.
"""

from __future__ import annotations

import os

THOROUGH = os.environ.get("TEST_THOROUGH") == "1"


def times(usual: int, thorough: int) -> int:
    """``usual``, or ``thorough`` where the environment asks for it."""
    return thorough if THOROUGH else usual
