"""Text → ids: tokenizers, corpora on disk, pretrained word vectors."""
