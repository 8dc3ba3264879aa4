"""How the last prices are distributed, and the straight line through them."""
