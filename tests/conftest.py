"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A test that is slow on a busy machine is not wrong.
settings.register_profile("halon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("halon")
