"""The price seen another way: one number for a bar, extremes, other bars, and levels drawn from an earlier stretch."""
