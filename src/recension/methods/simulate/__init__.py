"""What happens to models that learn from their own output: regression, theory, and costs on text.

regression.py   linear regressions over generations, many at once
theory.py       what is expected of them, and what the theorems say
costs.py        curves of several seeds to a cost, a trend and an answer
"""
