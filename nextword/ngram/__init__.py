"""n-gram models: estimation, queries and file formats, without torch.

Estimation, in the order of its steps (`estimate` runs them):
    settings           the settings of an estimation
    counting           which n-grams occur in a text, and how often; `partition` divides the text
                       into parts, `refinement` finds the n-grams of a part
    orders             the n-grams of one order, each linked to its suffix
    adjusted_counts    the counts that the smoothing uses; `lmplz` imitates a detail of KenLM
    smoothing          how much of its count a seen n-gram keeps, one class for each method
    probabilities      smooths one order after the other
    backoff            compiled loops that compute probabilities and back-off weights
    pruning            removes n-grams, by counts or by entropy
    table_from_orders  writes all n-grams as one trie
    storage            arrays in memory, or in files if memory is bounded

The finished model:
    trie               the layout of the arrays
    table, queries     the model and its queries; the compiled loops of the queries
    file               a table and its vocabulary in one file, which is mapped
    interface          what every model answers; `layout`: where compiled code finds it
    documents          scores many documents at once
    kenlm              the interface of KenLM's Python class; `calls`: its calls in compiled code

ARPA files, the common text format:
    arpa               describes and writes the format
    arpa_reading       reads it; `arpa_lines` parses its lines, `decimals` its numbers
    table_from_ngrams  makes a table of n-grams in any order

Binary files of KenLM (`kenlm_reading` opens any):
    kenlm_header       what they have in common; `kenlm_words`: their words
    kenlm_trie         makes a table of a trie; `bits` unpacks its numbers
    hashed             asks hash tables in place; `hashed_queries`: the compiled loops
    kenlm_writing      writes both forms

Several models:
    merging            merges models into one; `listing` lists their n-grams

Other:
    progress           the types of progress callbacks
    warm_up            compiles all loops once
"""
