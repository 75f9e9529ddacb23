"""`select`: choose documents, and say what tail was left behind.

spec.py         what can be set
sheets.py       what a reading leaves of each document
reading.py      the one reading of the corpus
ranking.py      from sheets to ranks, and to the cut
duplicates.py   near-duplicates of the whole corpus
writing.py      one shard of what is kept
contraction.py  the measures of an audit, before and after
outcome.py      everything to a report, pages and card
choosing.py     the verb
heads.py        a head for `--method edu`
"""
