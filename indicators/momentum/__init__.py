"""How fast, and how one-sidedly, the price moves."""
