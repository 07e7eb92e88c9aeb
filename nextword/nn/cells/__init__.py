"""Recurrent cells, one in each file, with its equation."""
