"""Warehouses: where rows end up. `base` says what one must do; each kind has a package here."""
