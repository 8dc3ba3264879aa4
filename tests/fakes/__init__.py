"""Upstreams on 127.0.0.1, as true to the real ones as what is known of them."""
