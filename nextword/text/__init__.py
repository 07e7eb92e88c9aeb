"""From text to ids: tokenizers, readers of text files, corpora on disk, pretrained word vectors."""
