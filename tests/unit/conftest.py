"""How many examples hypothesis tries: a sample by default, many with HYPOTHESIS_PROFILE=soak."""

import os

from hypothesis import settings

settings.register_profile("sample", max_examples=15, deadline=None, database=None)
settings.register_profile("soak", max_examples=1000, deadline=None, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "sample"))
