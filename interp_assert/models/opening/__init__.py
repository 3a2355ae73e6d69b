"""From a directory or a module of any kind to one that runs."""
