"""The price seen as a wave (Ehlers)."""
