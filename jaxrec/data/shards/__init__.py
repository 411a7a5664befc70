"""Interactions beyond memory: prepared by streaming, kept as Parquet shards, read in blocks."""
