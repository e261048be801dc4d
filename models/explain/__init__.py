"""Why a task is where it is, what happens next and when: in words, by the code that decides.

Pure: :func:`redrive.models.queries.facts` gathers what is known, :func:`explain` turns it into an answer.
"""

from .answer import Explanation, explain
from .facts import ActionFacts, AttemptFacts, BatchFacts, Facts

__all__ = ["ActionFacts", "AttemptFacts", "BatchFacts", "Explanation", "Facts", "explain"]
