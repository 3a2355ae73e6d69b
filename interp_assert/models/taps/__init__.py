"""Where values are read and replaced in a running model, one kind of place to a module."""
