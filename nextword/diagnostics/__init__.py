"""Figures of what happens inside models: gradients and attention."""
