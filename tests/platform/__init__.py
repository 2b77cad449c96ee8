"""Tests of the local platform: its API, client and pages."""
