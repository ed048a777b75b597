"""The requirements of a workflow's job, as data: read from text, evaluated, and written again. Pure.

    EXPRESSION = TERM {OR TERM}           TERM = FACTOR {AND FACTOR}
    FACTOR     = NOT FACTOR | ( EXPRESSION ) | NAME = OUTCOME | NAME != OUTCOME | NAME [NOT] IN (OUTCOME, …)
    OUTCOME    = COMPLETED | FAILED | SKIPPED | FINISHED, which is any of the three

Words are read in either case. It says how jobs ended, never how they are: so what was true stays true, and
what is true, false or still open of a requirement is settled once. Invariant: evaluation needs no order of the jobs.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

MOST_CHARACTERS = 4096
MOST_DEPTH = 32
_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z0-9_][-A-Za-z0-9_.]*)|(?P<sign>!=|==|=|\(|\)|,)|(?P<bad>\S))")
_WORDS = frozenset({"and", "or", "not", "in"})


class Outcome(StrEnum):
    """How a job of a workflow ended."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    SKIPPED = "Skipped"


_ANY = frozenset(Outcome)
_OUTCOMES = {
    "completed": frozenset({Outcome.COMPLETE}),
    "complete": frozenset({Outcome.COMPLETE}),
    "failed": frozenset({Outcome.FAILED}),
    "skipped": frozenset({Outcome.SKIPPED}),
    "finished": _ANY,
}
_WRITTEN = {Outcome.COMPLETE: "COMPLETED", Outcome.FAILED: "FAILED", Outcome.SKIPPED: "SKIPPED"}


class BadExpression(ValueError):
    """The text is no expression; the message says where and what to write."""


@dataclass(frozen=True, slots=True)
class Is:
    """Job `job` ended in one of these ways."""

    job: str
    outcomes: frozenset[Outcome]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    of: "Expression"


@dataclass(frozen=True, slots=True)
class All:
    """Each of these; of none that is true."""

    of: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """At least one of these; of none that is false."""

    of: tuple["Expression", ...]


Expression: TypeAlias = Is | Not | All | Any
Ended: TypeAlias = Mapping[str, Outcome]
"""How the jobs ended that have."""


def outcomes_of(word: str) -> frozenset[Outcome]:
    """Return what a word such as COMPLETED stands for.

    Raises:
        BadExpression: it stands for nothing.
    """
    found = _OUTCOMES.get(word.lower())
    if found is None:
        ends = ", ".join(name.upper() for name in _OUTCOMES if name != "complete")
        raise BadExpression(f'"{word[:40]}" is no way for a job to end: use {ends}')
    return found


def value(expression: Expression, ended: Ended) -> bool | None:
    """Return whether the expression holds; None while that depends on jobs that have not ended.

    >>> value(parse("a=COMPLETED OR b=FAILED"), {"a": Outcome.COMPLETE})
    True
    >>> value(parse("a=COMPLETED AND b=FAILED"), {"a": Outcome.COMPLETE}) is None
    True
    """
    match expression:
        case Is():
            outcome = ended.get(expression.job)
            return None if outcome is None else outcome in expression.outcomes
        case Not():
            inner = value(expression.of, ended)
            return None if inner is None else not inner
        case All():
            return _decided((value(each, ended) for each in expression.of), by=False)
        case Any():
            return _decided((value(each, ended) for each in expression.of), by=True)


def _decided(values: Iterator[bool | None], *, by: bool) -> bool | None:
    """One that is `by` decides at once; an open one leaves it open."""
    found = tuple(values)
    if by in found:
        return by
    return None if None in found else not by


def jobs(expression: Expression) -> frozenset[str]:
    """Return the names of all jobs that it is about."""
    match expression:
        case Is():
            return frozenset({expression.job})
        case Not():
            return jobs(expression.of)
        case All() | Any():
            return frozenset[str]().union(*map(jobs, expression.of))


def write(expression: Expression, name_of: Callable[[str], str] = str) -> str:
    """Return the expression as text, with each job's name as `name_of` gives it.

    >>> write(parse("a = completed and (b=FAILED or c in (COMPLETED,FAILED))"))
    'a=COMPLETED AND (b=FAILED OR c IN (COMPLETED,FAILED))'
    """
    match expression:
        case Is():
            return _write_is(name_of(expression.job), expression.outcomes)
        case Not():
            return f"NOT ({write(expression.of, name_of)})"
        case All() | Any():
            word = " AND " if isinstance(expression, All) else " OR "
            return word.join(_write_part(each, name_of) for each in expression.of)


def _write_part(expression: Expression, name_of: Callable[[str], str]) -> str:
    text = write(expression, name_of)
    return f"({text})" if isinstance(expression, All | Any) else text


def _write_is(name: str, outcomes: frozenset[Outcome]) -> str:
    if outcomes == _ANY:
        return f"{name}=FINISHED"
    words = [_WRITTEN[each] for each in Outcome if each in outcomes]
    return f"{name}={words[0]}" if len(words) == 1 else f"{name} IN ({','.join(words)})"


def parse(text: str) -> Expression:
    """Return what an expression says.

    Raises:
        BadExpression: it is none; the message says what is wrong and how it should be.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadExpression(f"is longer than {MOST_CHARACTERS} characters: name the jobs in requires instead")
    reader = _Reader(text)
    found = reader.expression(0)
    reader.end()
    return found


class _Reader:
    """Reads tokens from the left; one token is looked at ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = [match for match in _TOKEN.finditer(text) if match.group().strip()]
        self._at = 0

    def expression(self, depth: int) -> Expression:
        """Read terms with OR between them."""
        terms = [self._term(depth)]
        while self._takes("or"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else Any(tuple(terms))

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._at < len(self._tokens):
            raise self._wrong("AND, OR or the end")

    def _term(self, depth: int) -> Expression:
        factors = [self._factor(depth)]
        while self._takes("and"):
            factors.append(self._factor(depth))
        return factors[0] if len(factors) == 1 else All(tuple(factors))

    def _factor(self, depth: int) -> Expression:
        if depth > MOST_DEPTH:
            raise BadExpression(f"nests deeper than {MOST_DEPTH} levels: take brackets out")
        if self._takes("not"):
            return Not(self._factor(depth + 1))
        if self._takes("("):
            inner = self.expression(depth + 1)
            self._expect(")")
            return inner
        return self._about_a_job()

    def _about_a_job(self) -> Expression:
        name = self._name("the name of a job")
        if self._takes("="):
            return Is(name, self._outcome())
        if self._takes("!="):
            return Not(Is(name, self._outcome()))
        if self._takes("not"):
            self._expect("in")
            return Not(Is(name, self._outcomes()))
        self._expect("in", "=, != or IN")
        return Is(name, self._outcomes())

    def _outcomes(self) -> frozenset[Outcome]:
        self._expect("(")
        found = self._outcome()
        while self._takes(","):
            found |= self._outcome()
        self._expect(")")
        return found

    def _outcome(self) -> frozenset[Outcome]:
        return outcomes_of(self._name("COMPLETED, FAILED, SKIPPED or FINISHED"))

    def _name(self, wanted: str) -> str:
        token = self._peek()
        if token is None or token["name"] is None or token["name"].lower() in _WORDS:
            raise self._wrong(wanted)
        self._at += 1
        return token["name"]

    def _takes(self, word: str) -> bool:
        token = self._peek()
        found = "" if token is None else (token["name"] or token["sign"] or "").lower()
        is_it = ("=" if found == "==" else found) == word
        self._at += is_it
        return is_it

    def _expect(self, word: str, wanted: str = "") -> None:
        if not self._takes(word):
            raise self._wrong(wanted or word.upper())

    def _peek(self) -> re.Match[str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _wrong(self, wanted: str) -> BadExpression:
        token = self._peek()
        found = "its end" if token is None else f'"{token.group().strip()[:40]}"'
        where = "" if token is None else f" at character {token.end() - len(token.group().strip()) + 1}"
        return BadExpression(f"has {found}{where}, where {wanted} is expected")
