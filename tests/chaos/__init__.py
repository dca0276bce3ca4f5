"""Kill everything at random while jobs keep coming, then count: ``make chaos MINUTES=10``."""
