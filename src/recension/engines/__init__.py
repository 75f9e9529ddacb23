"""Where tasks run. Engines know nothing of documents."""
