"""Pure array functions and small Flax modules: no I/O, no logging, no flags, no globals."""
