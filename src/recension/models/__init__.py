"""Adapters: models behind the ports."""
