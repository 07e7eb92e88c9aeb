"""Recurrent cells, one equation a file."""
