"""Training: by gradients, by counting n-grams, or by mixing runs; optimizers and schedules."""
