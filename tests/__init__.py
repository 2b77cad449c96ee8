"""The tests, mirroring the modules they are about."""
