"""Shared vocabulary of the sample week, all of it invented.

Every entry of :data:`LEXICON` is a block of text with one option a line. An option may hold ``[a|b]`` (one of both) and
``{slot}`` (an option of that slot). A slot ``x`` with a twin ``x_hard`` takes the twin more often the harder a request
is: that is one of the ways in which a prompt tells part of its difficulty.
"""

from __future__ import annotations

from pointsman.sample_week.lexicon_foreign import FOREIGN
from pointsman.sample_week.lexicon_manners import MANNERS
from pointsman.sample_week.lexicon_subjects import SUBJECTS

LEXICON: dict[str, str] = {**SUBJECTS, **MANNERS, **FOREIGN}
