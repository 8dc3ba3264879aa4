"""How much is traded, and on which side."""
