"""Generates text: sampling, beam search, filling of masks, translation."""
