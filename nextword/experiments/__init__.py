"""Several trainings that answer one question: seeds, ablations, learning rates."""
