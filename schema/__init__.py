"""What may be asked: Strawberry types, one line a field."""
