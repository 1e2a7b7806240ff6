"""How many examples hypothesis tries: a sample by default, many with HYPOTHESIS_PROFILE=soak.

The sample is the same each time, so that what fails is the change; new examples are soak's.

What the tests import and are is left to no garbage collection: a fifth of their time.
"""

import gc
import os
import sys

from hypothesis import settings

gc.disable()
settings.register_profile("sample", max_examples=10, deadline=None, database=None, derandomize=True)
settings.register_profile("soak", max_examples=1000, deadline=None, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sample"))


def pytest_collection_finish() -> None:
    gc.collect()
    if sys.version_info >= (3, 10):
        # Older ones have a hypothesis that asks for referrers; frozen objects are none.
        gc.freeze()
    gc.enable()
