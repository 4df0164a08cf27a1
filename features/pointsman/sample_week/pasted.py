"""Pasted material inside prompts: documents, mails, logs, tables, stack traces and code, all invented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.sample_week.grammar import Grammar, lines
from pointsman.sample_week.lexicon import LEXICON

if TYPE_CHECKING:
    from collections.abc import Callable

_IDENTIFIERS = ("order", "row", "meter", "invoice", "client", "batch", "price", "image", "poem", "token", "page")
_VERBS = ("load", "merge", "parse", "send", "render", "check", "count", "write", "fetch", "sum", "split")


def _length(grammar: Grammar, size: float, low: int, high: int) -> int:
    """Return a long-tailed number of lines: mostly near ``low``, now and then near ``high``."""
    share = (0.3 + size) * float(grammar.rng.beta(0.75, 2.6))
    return low + int(share * (high - low))


def passage(grammar: Grammar, size: float) -> str:
    """Return a few plain sentences."""
    clauses = lines(LEXICON["clause_passage"])
    count = 1 + _length(grammar, size, 0, 5)
    return " ".join(f"{grammar.expand(grammar.pick(clauses), size)}." for _ in range(count))


def document(grammar: Grammar, size: float) -> str:
    """Return a document with headings, a few hundred to several thousand characters long."""
    sections = _length(grammar, size, 1, 36)
    clauses = lines(LEXICON["clause_passage"])
    parts = []
    for number in range(1, sections + 1):
        heading = grammar.expand("{number}. [On|About|Notes on|] {topic}".replace("{number}", str(number)), size)
        body = ". ".join(grammar.expand(grammar.pick(clauses), size) for _ in range(grammar.whole(2, 7)))
        parts.append(f"{heading}\n{body}.")
    return "\n\n".join(parts)


def mail(grammar: Grammar, size: float) -> str:
    """Return an email with a header."""
    head = grammar.expand(
        "From: {mail}\nSubject: [Re: |Fwd: |]{product} [order|question|invoice|summary|code|pictures] {order}"
    )
    return f"{head}\n\nHello,\n{passage(grammar, size + 0.3)}\nRegards"


def thread(grammar: Grammar, size: float) -> str:
    """Return several emails in a row."""
    return "\n---\n".join(mail(grammar, size) for _ in range(_length(grammar, size, 2, 24)))


def log(grammar: Grammar, size: float) -> str:
    """Return service log lines."""
    rows = []
    for _ in range(_length(grammar, size, 2, 130)):
        level = grammar.pick(("INFO", "INFO", "WARN", "ERROR", "DEBUG"))
        part = f"{grammar.pick(_VERBS)}_{grammar.pick(_IDENTIFIERS)}"
        stamp = f"{grammar.whole(0, 24):02d}:{grammar.whole(0, 60):02d}:{grammar.whole(0, 60):02d}"
        tail = grammar.pick(("ok", "timed out", "retry 2 of 3", "status=503", "checksum differs", "user cancelled"))
        rows.append(f"{stamp} {level} {part}[{grammar.whole(100, 9999)}] {tail} in {grammar.whole(1, 4000)} ms")
    return "\n".join(rows)


def table(grammar: Grammar, size: float) -> str:
    """Return a small table with separators."""
    mark = grammar.pick((" | ", ";", "\t", ", "))
    rows = [mark.join(("item", "qty", "price", "date"))]
    for _ in range(_length(grammar, size, 2, 40)):
        item = grammar.value("product", 0.0)
        rows.append(
            mark.join((item, str(grammar.whole(1, 40)), grammar.value("money", 0.0), grammar.value("date", 0.0)))
        )
    return "\n".join(rows)


def stack(grammar: Grammar, size: float) -> str:
    """Return a stack trace."""
    rows = ["Traceback (most recent call last):"]
    for _ in range(_length(grammar, size, 1, 50)):
        name, verb = grammar.pick(_IDENTIFIERS), grammar.pick(_VERBS)
        rows.append(f'  File "{name}s/{verb}.py", line {grammar.whole(3, 900)}, in {verb}_{name}')
        rows.append(f"    {name} = {verb}({grammar.pick(_IDENTIFIERS)}, {grammar.whole(0, 9)})")
    rows.append(grammar.pick(("KeyError: 'id'", "ValueError: empty range", "TimeoutError", "IndexError: 7")))
    return "\n".join(rows)


def code(grammar: Grammar, size: float) -> str:
    """Return a piece of program."""
    rows = []
    for _ in range(_length(grammar, size, 1, 16)):
        name, verb, other = grammar.pick(_IDENTIFIERS), grammar.pick(_VERBS), grammar.pick(_IDENTIFIERS)
        rows.append(f"def {verb}_{name}({other}s):")
        rows.append(f"    for {other} in {other}s:")
        rows.append(f"        if {other}.{name} > {grammar.whole(0, 50)}:")
        rows.append(f"            {grammar.pick(('yield', 'return', 'print'))}({other})")
    return "\n".join(rows)


def query(grammar: Grammar, size: float) -> str:
    """Return a database query."""
    name, other = grammar.pick(_IDENTIFIERS), grammar.pick(_IDENTIFIERS)
    joins = "".join(
        f" JOIN {grammar.pick(_IDENTIFIERS)}s x{index} USING (id)" for index in range(_length(grammar, size, 0, 6))
    )
    since = f"'2026-01-{grammar.whole(1, 29):02d}'"
    return " ".join(("SELECT", f"{name}_id, count(*)", "FROM", f"{other}s{joins}", "WHERE", f"{name}_date >", since))


BLOCKS: dict[str, Callable[[Grammar, float], str]] = {
    "passage": passage,
    "doc": document,
    "mail": mail,
    "thread": thread,
    "log": log,
    "table": table,
    "stack": stack,
    "code": code,
    "query": query,
}
