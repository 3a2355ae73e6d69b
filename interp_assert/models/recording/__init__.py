"""One forward pass as data: every operation and module call, and the values that went through them."""
