"""`evaluate`: what a model is worth, in numbers with their errors."""
