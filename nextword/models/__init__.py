"""Complete models, one in each file, with its settings above its class."""
