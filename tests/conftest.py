"""All tests: Django set up once, without services."""

import os

import django
from hypothesis import settings

# The same examples in every run: what fails, fails for everybody, and no run fails by a rare draw.
# `pytest --hypothesis-profile=explore` looks for new ones. No time limit per example: machines are noisy.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("repeatable")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()
