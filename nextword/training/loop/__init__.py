"""The training loop of models that learn by gradients, and its parts."""
