"""Whole models, one a file, its settings above its class."""
