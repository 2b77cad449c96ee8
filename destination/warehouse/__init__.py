"""Warehouses: where rows end up. `base` says what one must do; `postgres` is the first."""
