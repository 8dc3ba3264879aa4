"""How much one request may ask, one rule each; every limit is a setting and every refusal has its code."""
