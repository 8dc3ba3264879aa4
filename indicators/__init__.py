"""Technical indicators: numbers in, numbers out."""
