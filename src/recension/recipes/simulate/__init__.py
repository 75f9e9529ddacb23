"""`simulate`: what becomes of models that learn from their own output, before a GPU is rented.

spec.py        what can be set
regression.py  linear regressions, beside theory and theorems
text.py        policies on a corpus, each generation a pass
pool.py        the sample: passages to learn from and passages held out
learners.py    what is trained
generation.py  one generation of one policy and seed
"""
