"""Ontologies read, checked, hashed and asked; open it for what other rooms may import from here.

Only the standard library is used: the command line starts with this package.
"""

from tagflow.ontology.classifier import (
    BUILT_IN,
    LONGEST_TAG,
    Classification,
    Explanation,
    Ontology,
    built_in,
    find,
)
from tagflow.ontology.folder import Folder
from tagflow.ontology.read import merged, read_folder

__all__ = [
    "BUILT_IN",
    "LONGEST_TAG",
    "Classification",
    "Explanation",
    "Folder",
    "Ontology",
    "built_in",
    "find",
    "merged",
    "read_folder",
]
