"""What is known of written text without a model: answers read, pairs compared, verdicts checked, flaws named."""
