"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("orderstream", deadline=None)  # a busy machine is no failure: no test asserts a time
settings.load_profile("orderstream")
