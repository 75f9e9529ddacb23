"""`simulate`: what becomes of models that learn from their own output, before a GPU is rented.

spec.py        what can be set
regression.py  linear regressions, beside theory and theorems
"""
