"""What selection computes: features, weights, ranks, near-duplicates, and the tail that is left behind.

bags.py        texts to hashed words and pairs of words, as arrays
loops.py       the same as loops, for numba
letters.py     what Python says of characters, as tables
small_loops.py texts in small letters, for numba
published.py   the buckets of the data-selection package: sha256 of every word and pair
sha_loops.py   the same as loops, for numba
importance.py  DSIR: weights, temperature, length, Gumbel noise, effective sample size
choice.py      the best so many, or so many words of them, without all scores in memory
clusters.py    near-duplicates over a whole corpus, in partitions
tail.py        what a corpus holds and what is left of it: lengths, domains, rare n-grams
head.py        a linear head on embeddings
"""
