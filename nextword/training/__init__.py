"""Training: loop, optimizers, schedules, journal, learning-rate finder."""
