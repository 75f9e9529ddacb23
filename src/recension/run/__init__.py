"""Executions that lose nothing: manifest, shards, passes, receipts, verification."""
