"""The language model that puts a retriever's candidates in order: prompts, tuning, ranking (SEALR, PALR)."""
