"""From ids to batches. A stream is a sequence of batches; training can resume at any index of
it."""
