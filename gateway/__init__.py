"""How requests travel."""
