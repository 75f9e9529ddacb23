"""`mix`: sources to one corpus, exact in tokens, shuffled, with a holdout by lineage.

spec.py       what can be set
recipe.py     a recipe file to settings, every error with its line
presets.py    the mixtures of the papers
job.py        corpora opened, one layout for all of them
counting.py   the first reading: tokens, key and lineage of every row, on disk
glancing.py   what the beginning of a source says: --dry-run, and how much has to be counted
planning.py   how often each document is read, and which one is cut
drawing.py    the second reading: rows sorted by shard
gathering.py  shards put together
outcome.py    receipts to report, pages and card
mix.py        the verb
"""
