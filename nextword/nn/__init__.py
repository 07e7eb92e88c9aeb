"""Building blocks of models: recurrent cells, layers, attention, dropout, softmax heads."""
