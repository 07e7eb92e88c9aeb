"""`nextword filter`: documents are scored, and kept, dropped or sorted by their scores."""
