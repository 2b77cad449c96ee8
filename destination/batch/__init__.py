"""Batch files: decrypted, decompressed, and read as typed Arrow record batches."""
