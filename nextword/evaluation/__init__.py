"""Evaluation: perplexity, BLEU, accuracy and F1, sentence scores, comparison, text vectors."""
