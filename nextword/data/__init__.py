"""Ids → batches. A stream is a sequence of batches, so a training resumes at any index."""
