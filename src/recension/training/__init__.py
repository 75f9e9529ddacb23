"""Training: shapes, token shards, the order of the data, the loop, checkpoints. Imports torch only inside functions."""
