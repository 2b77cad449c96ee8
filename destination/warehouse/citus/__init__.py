"""Citus: a cluster of PostgreSQL servers, loaded through its coordinator."""
