"""The identities that an anatomy promises, checked by numbers on the model."""
