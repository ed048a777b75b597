"""What a write gives away, and whether its sender has it to give. Pure.

Being allowed to write a kind is not enough where an object gives rights: roles and bindings, tokens and
certificates; nor where it has others of ours do something: CronJobs and workflows, which make jobs; references to
owners, which let one object end or hold up another; and fields of manifest sources, which delete what they have and
declare no longer. Invariant: nobody gets by writing an object, for whomever, what they may not do themselves.
Source: kubernetes.io, "Privilege escalation prevention and bootstrapping"; the admission plugin
OwnerReferencesPermissionEnforcement.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

from api import kinds
from api.access.policy import RBAC, Policy, refusal, role_of
from api.access.rules import Asked, Rule
from api.access.users import AUTHENTICATED, User, is_reserved
from api.errors import About, Cause, Forbidden, Invalid
from api.kinds import (
    CERTIFICATE,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CRON_JOB,
    JOB,
    ROLE,
    ROLE_BINDING,
    TOKEN,
    WORKFLOW,
    Kind,
)
from api.meta import ACCESS_GROUP, MANIFESTS_MANAGER_PREFIX, Document

_ROLES, _BINDINGS, _IDENTITIES = (ROLE, CLUSTER_ROLE), (ROLE_BINDING, CLUSTER_ROLE_BINDING), (TOKEN, CERTIFICATE)
_MAKES_JOBS = (WORKFLOW, CRON_JOB)
IMPERSONATE = "impersonate"
MOST_ATOMS = 10_000
"""So many pairs of verb and resource may be in one role that is judged: they grow as the product of its lists."""


def check(policy: Policy, user: User, kind: Kind, before: Document | None, after: Document) -> None:
    """Check that `user` may make `after` of `before`, beyond being allowed to write such objects.

    Raises:
        Forbidden: it would give what the user does not have.
        Invalid: it would have a binding refer to another role.
    """
    _check_owners(policy, user, kind, before, after)
    _check_deputies(policy, user, kind, before, after)
    _check_made(policy, user, kind, before, after)
    if kind in _ROLES:
        _check_role(policy, user, kind, before, after)
    elif kind in _BINDINGS:
        _check_binding(policy, user, kind, before, after)
    elif kind in _IDENTITIES:
        _check_identity(policy, user, kind, before, after)


def check_token(tokens: Mapping[str, Document], before: Document | None, after: Document) -> None:
    """Check that a token is not one that is known by another object already: whose it is would be changed by that.

    Raises:
        Forbidden: it is.
    """
    digest, name = (after.get("spec") or {}).get("sha256"), after["metadata"].get("name", "")
    known = tokens.get(str(digest))
    if known is None or (before is not None and known["metadata"]["uid"] == before["metadata"]["uid"]):
        return
    about = About(ACCESS_GROUP, TOKEN.plural, name)
    raise Forbidden(f"{about} is forbidden: another object is of the same token: make a new one", about)


def check_becoming(policy: Policy, user: User, name: str, groups: Iterable[str]) -> None:
    """Check that `user` may act as another one. Raises Forbidden."""
    wanted = [Asked(IMPERSONATE, "", "users", name=name)]
    wanted += [Asked(IMPERSONATE, "", "groups", name=group) for group in groups]
    for asked in wanted:
        decision = policy.decide(user, asked)
        if not decision.allowed:
            raise refusal(user, asked, decision.reason)


def _check_role(policy: Policy, user: User, kind: Kind, before: Document | None, after: Document) -> None:
    if before is not None and before.get("rules") == after.get("rules"):
        return
    metadata = after["metadata"]
    space, name = metadata.get("namespace", ""), metadata.get("name", "")
    if policy.decide(user, Asked("escalate", RBAC, kind.plural, "", space, name)).allowed:
        return
    rules = [Rule.of(rule) for rule in after.get("rules") or ()]
    _check_gift(policy, user, kind, after, rules)


def _check_gift(policy: Policy, user: User, kind: Kind, gift: Document, rules: Iterable[Rule]) -> None:
    """Check that the user has what an object, a role or a binding, gives in its namespace."""
    metadata, rules = gift["metadata"], tuple(rules)
    name = metadata.get("name", "")
    if not (user.is_master and user.scope is None) and sum(map(_atoms_of, rules)) > MOST_ATOMS:
        about = About(kind.group, kind.plural, name)
        why = f"its role gives more than {MOST_ATOMS} pairs of verb and resource: give fewer in one role, or use *"
        raise Forbidden(f"{about} is forbidden: {why}", about)
    missing = policy.lacking(user, metadata.get("namespace", ""), rules)
    if missing:
        raise _grants_too_much(user, kind, name, missing)


def _atoms_of(rule: Rule) -> int:
    names = len(rule.names) or 1
    return len(rule.verbs) * (len(rule.paths) + math.prod((len(rule.groups), len(rule.resources), names)))


def _check_binding(policy: Policy, user: User, kind: Kind, before: Document | None, after: Document) -> None:
    metadata = after["metadata"]
    space, name = metadata.get("namespace", ""), metadata.get("name", "")
    if before is not None:
        if before.get("roleRef") != after.get("roleRef"):
            cause = Cause(
                "roleRef", "FieldValueInvalid", "Invalid value: cannot change roleRef: delete and make it anew"
            )
            raise Invalid.of(About(kind.group, kind.name, name), [cause])
        if before.get("subjects") == after.get("subjects"):
            return
    role_space, role = role_of(after)
    plural = ROLE.plural if role_space else CLUSTER_ROLE.plural
    if policy.decide(user, Asked("bind", RBAC, plural, "", space, role)).allowed:
        return
    rules = policy.rules_of_role(role_space, role)
    if rules is None:
        why = f'it refers to the role "{role}", which is not there, and who binds what is to come needs the verb bind'
        raise Forbidden(
            f"{About(kind.group, kind.plural, name)} is forbidden: {why}", About(kind.group, kind.plural, name)
        )
    _check_gift(policy, user, kind, after, rules)


def _grants_too_much(user: User, kind: Kind, name: str, missing: tuple[Rule, ...]) -> Forbidden:
    about = About(kind.group, kind.plural, name)
    shown = "".join(f"\n{rule.to_document()}" for rule in missing[:20])
    rest = f"\nand {len(missing) - 20} more" if len(missing) > 20 else ""
    who = f'user "{user.name}" (groups={list(user.groups)})'
    what = "is attempting to grant RBAC permissions not currently held:"
    return Forbidden(f"{about} is forbidden: {who} {what}{shown}{rest}", about)


def _check_identity(policy: Policy, user: User, kind: Kind, before: Document | None, after: Document) -> None:
    """Who makes a token or a certificate of a user becomes that user."""
    if before is not None and before.get("spec") == after.get("spec"):
        return
    name = after["metadata"].get("name", "")
    if user.scope is not None:
        about = About(ACCESS_GROUP, kind.plural, name)
        why = "a token that is for some things only cannot make what would be for more"
        raise Forbidden(f"{about} is forbidden: {why}", about)
    spec = after.get("spec") or {}
    whose, groups = str(spec.get("user", "")), tuple(spec.get("groups") or ())
    if user.is_master:
        return
    if whose != user.name or not set(groups) <= set(user.groups):
        check_becoming(policy, user, whose, (group for group in groups if group != AUTHENTICATED))
    reserved = [each for each in (whose, *groups) if is_reserved(each)]
    if reserved:
        about = About(ACCESS_GROUP, kind.plural, name)
        why = f"{reserved[0]} is the server's own name, and only root gives it"
        raise Forbidden(f"{about} is forbidden: {why}", about)


def _check_owners(policy: Policy, user: User, kind: Kind, before: Document | None, after: Document) -> None:
    """Who names an owner has to be able to see it, and to change it if the reference holds up its deletion."""
    had = (before or {}).get("metadata", {}).get("ownerReferences") or ()
    for reference in after["metadata"].get("ownerReferences") or ():
        if reference in had:
            continue
        owner = _kind_of(reference)
        blocks = bool(reference.get("blockOwnerDeletion"))
        if owner is None:
            if blocks:
                raise _cannot_own(
                    kind, after, "blockOwnerDeletion is set, and its owner is of no kind that is known here"
                )
            continue
        space = after["metadata"].get("namespace", "") if owner.namespaced else ""
        for asked in _rights_on(owner, space, str(reference.get("name", "")), blocks=blocks):
            decision = policy.decide(user, asked)
            if not decision.allowed:
                raise _cannot_own(kind, after, refusal(user, asked, decision.reason).message)


def _check_deputies(policy: Policy, user: User, kind: Kind, before: Document | None, after: Document) -> None:
    """Who has the daemon delete an object, when its owner is gone or its manifest, has to be able to delete it.

    A new object is its maker's own.
    """
    if before is None or (_owners(before) == _owners(after) and set(_sources(after)) <= set(_sources(before))):
        return
    metadata = after["metadata"]
    asked = Asked("delete", kind.group, kind.plural, "", metadata.get("namespace", ""), metadata.get("name", ""))
    decision = policy.decide(user, asked)
    if not decision.allowed:
        about, why = About(kind.group, kind.plural, asked.name), refusal(user, asked, decision.reason).message
        what = "cannot change what it is deleted with, its owners and manifest sources"
        raise Forbidden(f"{about} is forbidden: {what}: {why}", about)


def _check_made(policy: Policy, user: User, kind: Kind, before: Document | None, after: Document) -> None:
    """Who writes an object that jobs are made of has to be able to make jobs, and to change them: it does both."""
    if kind not in _MAKES_JOBS or (before is not None and _deeds(before) == _deeds(after)):
        return
    metadata = after["metadata"]
    for verb in ("create", "patch"):
        asked = Asked(verb, JOB.group, JOB.plural, "", metadata.get("namespace", ""))
        decision = policy.decide(user, asked)
        if not decision.allowed:
            about, why = About(kind.group, kind.plural, metadata.get("name", "")), decision.reason
            told = refusal(user, asked, why).message
            raise Forbidden(f"{about} is forbidden: jobs are made of it, and changed by it: {told}", about)


def _deeds(document: Document) -> object:
    """What of such an object says what is done: also annotations, as they ask for stops."""
    return document.get("spec"), document["metadata"].get("annotations")


def _owners(document: Document) -> list[Document]:
    return list(document["metadata"].get("ownerReferences") or ())


def _sources(document: Document) -> Iterator[str]:
    """Yield the manifest sources that have applied fields of an object, as their field managers are called."""
    for entry in document["metadata"].get("managedFields") or ():
        manager = str(entry.get("manager", ""))
        if manager.startswith(MANIFESTS_MANAGER_PREFIX) and entry.get("operation") == "Apply":
            yield manager


def _rights_on(owner: Kind, space: str, name: str, *, blocks: bool) -> Iterable[Asked]:
    yield Asked("get", owner.group, owner.plural, "", space, name)
    if blocks:
        yield Asked("update", owner.group, owner.plural, "finalizers", space, name)


def _kind_of(reference: Document) -> Kind | None:
    group = str(reference.get("apiVersion", "")).rpartition("/")[0]
    known = (kind for kind in (*kinds.KINDS, *kinds.PROJECTED) if kind.group == group)
    return next((kind for kind in known if kind.name == reference.get("kind")), None)


def _cannot_own(kind: Kind, document: Document, why: str) -> Forbidden:
    about = About(kind.group, kind.plural, document["metadata"].get("name", ""))
    return Forbidden(f"{about} is forbidden: cannot set an owner reference: {why}", about)
