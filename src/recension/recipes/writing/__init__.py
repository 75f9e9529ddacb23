"""Writing with a language model.

prompts.py, prompts/   the words
"""
