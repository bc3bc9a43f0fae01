"""What holds for all tests."""

from hypothesis import settings

pytest_plugins = ["tests.support.time_limit", "tests.support.position_audit"]

settings.register_profile("orderstream", deadline=None)  # a busy machine is no failure: no test asserts a time
settings.load_profile("orderstream")
