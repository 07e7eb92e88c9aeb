"""How good a model is: perplexity, dynamic evaluation, sentence scores, comparison."""
