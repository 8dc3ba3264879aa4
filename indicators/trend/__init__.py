"""Where the price is heading: averages that follow it, lines that trail it, and how strong its direction is."""
