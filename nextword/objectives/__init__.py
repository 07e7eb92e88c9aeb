"""Objectives, the losses that training minimises: (model, batch, state) → terms, state."""
