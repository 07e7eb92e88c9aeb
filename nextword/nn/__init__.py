"""Building blocks of models: cells, layers, embeddings, dropout, heads."""
