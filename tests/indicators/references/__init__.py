"""Every indicator once more: a plain loop from its definition, by group and by the name of the function."""
