"""Ticks on their way from sources to subscribers."""
