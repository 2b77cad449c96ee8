"""The demonstration of a sync, and its source."""
