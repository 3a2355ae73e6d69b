"""From a recorded pass to an anatomy: blocks, components, attention, mixers, readout."""
