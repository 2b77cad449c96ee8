"""PostgreSQL as a warehouse, and whatever speaks its language."""
