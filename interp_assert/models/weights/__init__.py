"""Where a module's weights are, and making them other weights for a while."""
