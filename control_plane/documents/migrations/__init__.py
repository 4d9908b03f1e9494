"""Numbered changes of stored documents: m0001_*.py, m0002_*.py, ... A released one never changes.

Each names its COLLECTION and has one function, `migrate(document)`: from the JSON of any earlier release to
the next form, without id and version. It looks at nothing but the document, does not change what it is given,
and leaves a document alone that has the new form: after a crash, and where two processes start at once, it is
asked again.
"""
