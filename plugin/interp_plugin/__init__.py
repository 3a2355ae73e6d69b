"""The pytest plugin of interp-assert."""
