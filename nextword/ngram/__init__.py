"""n-gram models: counted, smoothed, queried, without torch.

counting     text → which n-grams occur, and how often
smoothing    how much probability a seen n-gram keeps, one class per method
estimate     counts → a table of probabilities and back-offs
pruning      fewer n-grams for a little perplexity
table        the finished model: a trie with failure links; its file; its queries
arpa         the common text format, read and written
kenlm        KenLM's Python class, answered by a table
"""
