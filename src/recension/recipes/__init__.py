"""One module for each verb: its settings and its function."""
