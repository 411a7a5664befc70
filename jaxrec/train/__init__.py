"""State, step, loop, optimiser, checkpoint, mesh."""
