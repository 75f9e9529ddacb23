"""Parse, draw progress, print, exit. Nothing is decided here."""
