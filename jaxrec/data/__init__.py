"""Raw files to Interactions to filters to splits to a prepared dataset. Knows no model."""
