"""Pure functions on arrays: numpy in, numpy out, no I/O, no logging."""
