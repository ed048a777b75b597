"""Which field of Kubernetes' core types has which number in protobuf. Data.

Source: generated.proto of k8s.io/api and k8s.io/apimachinery; numbers never change their meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class Type(Enum):
    """What a field holds."""

    TEXT = auto()
    NUMBER = auto()
    BOOL = auto()
    BASE64 = auto()
    JSON = auto()
    TIME = auto()
    MICRO_TIME = auto()
    QUANTITY = auto()
    MESSAGE = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One field; an optional one means something when it is 0, false or empty."""

    name: str
    type: Type
    message: str = ""
    is_repeated: bool = False
    is_map: bool = False
    is_optional: bool = False


_TYPES = {
    "text": Type.TEXT, "number": Type.NUMBER, "bool": Type.BOOL, "bytes": Type.BASE64, "json": Type.JSON,
    "time": Type.TIME, "micro": Type.MICRO_TIME, "quantity": Type.QUANTITY,
}  # fmt: skip


def _field(text: str) -> Field:
    """Return the field that `name`, `name:type`, `name:[type]`, `name:{type}` or `name:type?` describes."""
    name, _, type_ = text.partition(":")
    is_optional = type_.endswith("?")
    bare = type_.strip("[]{}?") or "text"
    known = _TYPES.get(bare)
    return Field(
        name, known or Type.MESSAGE, "" if known else bare, type_.startswith("["), type_.startswith("{"), is_optional
    )


def _fields(*described: str, **at: str) -> dict[int, Field]:
    """Return fields numbered from 1 in order; `_N` gives one its number where the order has gaps."""
    numbered = {number: _field(text) for number, text in enumerate(described, 1) if text}
    return numbered | {int(number[1:]): _field(text) for number, text in at.items()}


_META = "metadata:ObjectMeta"
MESSAGES: Mapping[str, Mapping[int, Field]] = {
    "TypeMeta": _fields("apiVersion", "kind"),
    "ObjectMeta": _fields(
        "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation:number",
        "creationTimestamp:time", "deletionTimestamp:time", "deletionGracePeriodSeconds:number?", "labels:{text}",
        "annotations:{text}", "ownerReferences:[OwnerReference]", "finalizers:[text]", _17="managedFields:[Managed]",
    ),
    "OwnerReference": _fields("kind", "", "name", "uid", "apiVersion", "controller:bool?", "blockOwnerDeletion:bool?"),
    "Managed": _fields("manager", "operation", "apiVersion", "time:time", "", "fieldsType", "fieldsV1:json",
                       "subresource"),
    "DeleteOptions": _fields(
        "gracePeriodSeconds:number?", "preconditions:Preconditions", "orphanDependents:bool?", "propagationPolicy",
        "dryRun:[text]",
    ),
    "Preconditions": _fields("uid", "resourceVersion"),
    "Namespace": _fields(_META, "spec:NamespaceSpec", "status:NamespaceStatus"),
    "NamespaceSpec": _fields("finalizers:[text]"),
    "NamespaceStatus": _fields("phase", "conditions:[NamespaceCondition]"),
    "NamespaceCondition": _fields("type", "status", "", "lastTransitionTime:time", "reason", "message"),
    "ConfigMap": _fields(_META, "data:{text}", "binaryData:{bytes}", "immutable:bool?"),
    "Secret": _fields(_META, "data:{bytes}", "type", "stringData:{text}", "immutable:bool?"),
    "Event": _fields(
        _META, "involvedObject:ObjectReference", "reason", "message", "source:EventSource", "firstTimestamp:time",
        "lastTimestamp:time", "count:number", "type", "eventTime:micro", "series:EventSeries", "action",
        "related:ObjectReference", "reportingComponent", "reportingInstance",
    ),
    "NewEvent": _fields(
        _META, "eventTime:micro", "series:EventSeries", "reportingController", "reportingInstance", "action", "reason",
        "regarding:ObjectReference", "related:ObjectReference", "note", "type", "deprecatedSource:EventSource",
        "deprecatedFirstTimestamp:time", "deprecatedLastTimestamp:time", "deprecatedCount:number",
    ),
    "EventSource": _fields("component", "host"),
    "EventSeries": _fields("count:number", "lastObservedTime:micro"),
    "ObjectReference": _fields("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"),
    "SelfSubjectAccessReview": _fields(_META, "spec:AccessSpec"),
    "AccessSpec": _fields("resourceAttributes:ResourceAttributes", "nonResourceAttributes:PathAttributes"),
    "ResourceAttributes": _fields("namespace", "verb", "group", "version", "resource", "subresource", "name",
                                  "fieldSelector:AttributeSelector", "labelSelector:AttributeSelector"),
    "AttributeSelector": _fields("rawSelector", "requirements:[LabelRequirement]"),
    "PathAttributes": _fields("path", "verb"),
    "SelfSubjectRulesReview": _fields(_META, "spec:RulesSpec"),
    "RulesSpec": _fields("namespace"),
    "SelfSubjectReview": _fields(_META),
    "TokenReview": _fields(_META, "spec:TokenSpec"),
    "TokenSpec": _fields("token", "audiences:[text]"),
    "Role": _fields(_META, "rules:[PolicyRule]"),
    "ClusterRole": _fields(_META, "rules:[PolicyRule]", "aggregationRule:AggregationRule?"),
    "AggregationRule": _fields("clusterRoleSelectors:[LabelSelector]"),
    "LabelSelector": _fields("matchLabels:{text}", "matchExpressions:[LabelRequirement]"),
    "LabelRequirement": _fields("key", "operator", "values:[text]"),
    "PolicyRule": _fields("verbs:[text]", "apiGroups:[text]", "resources:[text]", "resourceNames:[text]",
                          "nonResourceURLs:[text]"),
    "RoleBinding": _fields(_META, "subjects:[Subject]", "roleRef:RoleRef"),
    "Subject": _fields("kind", "apiGroup", "name", "namespace"),
    "RoleRef": _fields("apiGroup", "kind", "name"),
    "PriorityClass": _fields(_META, "value:number", "globalDefault:bool", "description", "preemptionPolicy:text?"),
    "ResourceQuota": _fields(_META, "spec:QuotaSpec", "status:QuotaStatus"),
    "QuotaSpec": _fields("hard:{quantity}", "scopes:[text]", "scopeSelector:ScopeSelector"),
    "QuotaStatus": _fields("hard:{quantity}", "used:{quantity}"),
    "ScopeSelector": _fields("matchExpressions:[ScopeRequirement]"),
    "ScopeRequirement": _fields("scopeName", "operator", "values:[text]"),
}  # fmt: skip

_RBAC = "rbac.authorization.k8s.io/v1"
BODIES: Mapping[tuple[str, str], str] = {
    ("v1", "Namespace"): "Namespace",
    ("v1", "ConfigMap"): "ConfigMap",
    ("v1", "Secret"): "Secret",
    ("v1", "Event"): "Event",
    ("v1", "ResourceQuota"): "ResourceQuota",
    ("scheduling.k8s.io/v1", "PriorityClass"): "PriorityClass",
    ("v1", "DeleteOptions"): "DeleteOptions",
    ("meta.k8s.io/v1", "DeleteOptions"): "DeleteOptions",
    ("events.k8s.io/v1", "Event"): "NewEvent",
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): "SelfSubjectAccessReview",
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): "SelfSubjectRulesReview",
    ("authentication.k8s.io/v1", "SelfSubjectReview"): "SelfSubjectReview",
    ("authentication.k8s.io/v1", "TokenReview"): "TokenReview",
    (_RBAC, "Role"): "Role",
    (_RBAC, "ClusterRole"): "ClusterRole",
    (_RBAC, "RoleBinding"): "RoleBinding",
    (_RBAC, "ClusterRoleBinding"): "RoleBinding",
}
"""Which message a body is, by its apiVersion and kind."""
