"""Tests of local_platform/sync, most of them with a source server of their own."""
