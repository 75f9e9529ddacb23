"""What an audit computes: folds over all bytes of a corpus, and statistics of samples, resampled by document.

words.py       bytes to hashed words and n-grams, as arrays
near.py        near-duplicates by MinHash
folds.py       counts and sketches of a corpus, which add up
sample.py      the passages with the smallest hashes: the same sample for any number of workers
panel.py       samples as arrays of numbered words and n-grams
measures.py    how rich a text is, in figures
chain.py       an n-gram model retrained on its own output
resampling.py  effects, intervals, permutation tests
shift.py       how different two texts are
spread.py      how a scorer's log-probabilities are spread
verdict.py     margins, generations, levels
"""
