"""Tests of the destination tester."""
