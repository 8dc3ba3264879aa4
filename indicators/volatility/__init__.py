"""How widely the price moves."""
