"""Experiments of several trainings (seeds, ablation), and the learning-rate range test."""
