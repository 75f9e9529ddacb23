"""`audit` and `profile`: has a corpus contracted, and what is one like.

spec.py      what can be set
corpora.py   reference, candidate and further corpora as the input of one run; files of evaluation sets
counting.py  one reading of everything: counts and samples, a shard at a time
samples.py   the samples of a run as units and panels, built once in each process
stages.py    what is computed of them, as passes: curve, draws, scores, shift
drivers.py   the runs of words and the passages behind a finding
outcome.py   everything to one report
audit.py     the verb `audit`
profile.py   the verb `profile`
"""
