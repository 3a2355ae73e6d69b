"""The ready-made test suites."""
