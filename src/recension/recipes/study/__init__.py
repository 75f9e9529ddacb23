"""`study`: a named experiment of the papers, end to end, as a recipe of the verbs.

spec.py      what can be set
bench.py     files by role, drawn text, the steps and their folders
drawing.py   documents drawn of a corpus
learning.py  models trained and measured, as most studies do it
listed.py    the studies by name
study.py     the verb: the steps in their order
The others hold a study each.
"""
