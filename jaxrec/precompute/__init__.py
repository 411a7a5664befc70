"""The LLM-side stage: what a language model is asked, by whom it is answered, and what became of it."""
