"""Upstream sources, and the router that is the one door to them."""
