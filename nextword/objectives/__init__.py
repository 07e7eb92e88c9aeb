"""What a model is trained to make small: (model, batch, state) → terms, state."""
