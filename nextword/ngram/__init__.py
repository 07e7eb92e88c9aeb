"""n-gram models: counted, smoothed, pruned and queried, without torch.

Estimation, in the order of its steps (`estimate` takes them one after the other):
    settings           what a model is made like
    counting           text → which n-grams occur, and how often; `partition` divides the text into
                       parts, `refinement` finds the n-grams of a part
    orders             the n-grams of one order, each linked to its suffix
    adjusted_counts    the counts that the smoothing goes by; `lmplz` has a peculiarity of KenLM's
    smoothing          how much of its count a seen n-gram keeps, one class a method
    probabilities      smooths one order after the other
    backoff            the compiled loops of that: probabilities and back-off weights
    pruning            fewer n-grams, by counts or by entropy
    table_from_orders  all of it as one trie
    storage            arrays in memory, or in files where memory is bounded

The finished model:
    trie               how it is laid out
    table, queries     the questions asked of it, and the compiled loops that answer them
    file               a table and its vocabulary in one file, which is mapped
    kenlm              KenLM's Python class, answered by a table

ARPA files, the common text format:
    arpa               the format, and how it is written
    arpa_reading       how it is read; `arpa_lines` parses its lines, `decimals` its numbers
    table_from_ngrams  n-grams in any order → a table
"""
