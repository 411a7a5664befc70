"""A Llama-family decoder: weights, tokenizer, chat templates and generation from a local checkpoint."""
