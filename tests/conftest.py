"""What holds for all tests."""

from hypothesis import settings

pytest_plugins = ["tests.support.time_limit"]

settings.register_profile("orderstream", deadline=None)  # a busy machine is no failure: no test asserts a time
settings.load_profile("orderstream")
