"""`evaluate`: what a model does on held-out text.

spec.py          what can be set
domains.py       data by name: arguments, files of domains, a column
measuring.py     the corpora of the domains as one run
perplexity.py    bits per byte and perplexity by domain
figures.py       per-document sums to figures with intervals
loss_pattern.py  where a model of synthetic text falls behind one of real text
patterns.py      the rows of that to figures
tasks.py         questions
sets/            ready files of domains: paloma, pile
"""
