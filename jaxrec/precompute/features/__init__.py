"""Vectors of items' pictures and titles (M3BSR takes those of CLIP)."""
