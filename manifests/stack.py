"""All objects of a stack, indexed for the rules that look at several at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Final, TypeVar

from .capacity import NamespaceCapacity, capacity
from .fields import UNKNOWN, UnknownValueError, get, mapping, objects, strings, text
from .manifest import Manifest, identity
from .workloads import SCALED_KINDS, WORKLOAD_KINDS, kind_of, namespace_of, pod_template, scale_target

T = TypeVar("T")

WHOLE: Final[Manifest] = {"kind": "Stack", "metadata": {"name": "all"}}
"""The subject of a rule about all objects together: a finding and a waiver call it `Stack/all`."""


class Stack:
    """The objects of one stack. The indexes are made when a rule first asks for them."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self.manifests: Sequence[Manifest] = tuple(manifests)

        self._made: dict[Callable[[Stack], Any], Any] = {}

    def once(self, make: Callable[[Stack], T]) -> T:
        """Return `make(self)`, made when a rule first asks for it."""
        if make not in self._made:
            self._made[make] = make(self)
        found: T = self._made[make]
        return found

    @cached_property
    def _by_kind(self) -> Mapping[str, list[Manifest]]:
        index = defaultdict(list)
        for manifest in self.manifests:
            index[kind_of(manifest)].append(manifest)
        return dict(index)

    def of_kind(self, *kinds: str) -> Iterator[Manifest]:
        """The objects of these kinds."""
        return chain.from_iterable(self._by_kind.get(kind, ()) for kind in kinds)

    @cached_property
    def _named(self) -> Mapping[tuple[str, str, str], Manifest]:
        # Not Jobs and Pods: nothing refers to them, and their names may not be known before deployment.
        kinds = ("Namespace", "ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim", "Service", "Role")
        return {
            (kind_of(m), "" if kind_of(m) == "Namespace" else namespace_of(m), text(m, "metadata", "name")): m
            for m in self.of_kind(*kinds)
        }

    def named(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object that others refer to by name; `namespace` is empty for a Namespace."""
        return self._named.get((kind, namespace, name))

    @cached_property
    def _by_namespace(self) -> Mapping[tuple[str, str], list[Manifest]]:
        index = defaultdict(list)
        for manifest in self.of_kind("ResourceQuota", "LimitRange", "NetworkPolicy"):
            index[kind_of(manifest), namespace_of(manifest)].append(manifest)
        return dict(index)

    def in_namespace(self, kind: str, namespace: str) -> Sequence[Manifest]:
        """The ResourceQuotas, LimitRanges or NetworkPolicies in `namespace`."""
        return self._by_namespace.get((kind, namespace), ())

    def namespaces_with_workloads(self) -> Sequence[Manifest]:
        """The Namespaces that workloads of this stack run in, with no labels if the stack has no such object."""
        return self._with_workloads

    @cached_property
    def _with_workloads(self) -> Sequence[Manifest]:
        names = dict.fromkeys(namespace_of(manifest) for manifest in self.of_kind(*WORKLOAD_KINDS))
        bare = {name: {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names}
        return [self.named("Namespace", "", name) or bare[name] for name in names]

    @cached_property
    def _workloads(self) -> Mapping[tuple[str, str, str], Manifest]:
        return {
            (kind, namespace_of(manifest), text(manifest, "metadata", "name")): manifest
            # Not those of Jobs, whose names may not be known before deployment.
            for kind in SCALED_KINDS
            for manifest in self.of_kind(kind)
        }

    def workload(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The workload of this kind, one of `SCALED_KINDS`, and name, if the stack declares it."""
        return self._workloads.get((kind, namespace, name))

    @cached_property
    def _autoscalers(self) -> Mapping[tuple[str, str, str], list[Manifest]]:
        index = defaultdict(list)
        for manifest in self.of_kind("HorizontalPodAutoscaler", "ScaledObject"):
            index[scale_target(manifest)].append(manifest)
        return dict(index)

    def autoscalers(self, workload: Manifest) -> Sequence[Manifest]:
        """The HorizontalPodAutoscalers and ScaledObjects that set the replicas of `workload`."""
        key = kind_of(workload), namespace_of(workload), text(workload, "metadata", "name")
        return self._autoscalers.get(key, ())

    @cached_property
    def capacity(self) -> Sequence[NamespaceCapacity]:
        """What the pods of each namespace ask for; raises as `capacity` does."""
        return capacity(self.manifests)

    def replicas(self, workload: Manifest) -> tuple[int, int]:
        """The fewest pods, but one, and the most that a workload of `SCALED_KINDS` has; 0 for other kinds.

        Scaled to zero there is nothing to evict or to spread: what counts is the first pod.
        """
        if kind_of(workload) not in SCALED_KINDS:
            return 0, 0
        fields = {"HorizontalPodAutoscaler": ("minReplicas", "maxReplicas")}
        ranges = []
        for autoscaler in self.autoscalers(workload):
            low, high = fields.get(kind_of(autoscaler), ("minReplicaCount", "maxReplicaCount"))
            fewest = max(1, _count(get(autoscaler, "spec", low), 1))
            # https://keda.sh/docs/2.21/reference/scaledobject-spec/#maxreplicacount
            default = 100 if high == "maxReplicaCount" else fewest
            ranges.append((fewest, max(fewest, _count(get(autoscaler, "spec", high), default))))
        if not ranges:
            pods = _count(get(workload, "spec", "replicas"), 1)
            return pods, pods
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    @cached_property
    def _budgets(self) -> Mapping[int, list[Manifest]]:
        index = defaultdict(list)
        for budget in self.of_kind("PodDisruptionBudget"):
            for workload in self.budgeted(budget):
                index[id(workload)].append(budget)
        return dict(index)

    def budgets(self, workload: Manifest) -> Sequence[Manifest]:
        """The PodDisruptionBudgets that select the pods of `workload`."""
        return self._budgets.get(id(workload), ())

    def budgeted(self, budget: Manifest) -> list[Manifest]:
        """The workloads whose pods a PodDisruptionBudget selects."""
        selector = get(budget, "spec", "selector")
        # In policy/v1 an empty selector selects all pods, a missing one none.
        return [] if selector is None else list(self.selected(namespace_of(budget), mapping(selector)))

    @cached_property
    def _custom(self) -> frozenset[tuple[str, str]]:
        found = set()
        for manifest in self.manifests:
            group = text(manifest, "apiVersion").rpartition("/")[0]
            if "." in group and not group.endswith(".k8s.io"):
                found.add((namespace_of(manifest), identity(manifest)[2]))
        return frozenset(found)

    def operated(self, namespace: str, selector: Mapping[str, Any]) -> bool:
        """Whether an operator may make the pods that `selector` selects: a label has the name of a custom resource."""
        labels = mapping(selector, "matchLabels")
        return any((namespace, text(labels, key)) in self._custom for key in labels)

    @cached_property
    def defined_kinds(self) -> frozenset[tuple[str, str]]:
        """Group and kind of each CustomResourceDefinition."""
        definitions = self.of_kind("CustomResourceDefinition")
        return frozenset((text(d, "spec", "group"), text(d, "spec", "names", "kind")) for d in definitions)

    @cached_property
    def promised_secrets(self) -> frozenset[tuple[str, str]]:
        """Namespace and name of each Secret that an operator makes from an object of the stack."""
        found = set()
        for kind, path in (
            ("ExternalSecret", ("spec", "target", "name")),
            ("SealedSecret", ("metadata", "name")),
            ("Certificate", ("spec", "secretName")),
        ):
            for promise in self.of_kind(kind):
                found.add((namespace_of(promise), text(promise, *path) or text(promise, "metadata", "name")))
        return frozenset(found)

    @cached_property
    def repeated(self) -> Sequence[Manifest]:
        """The objects that another of the same group, kind, namespace and name stands before."""
        seen = set()
        found = []
        for manifest in self.manifests:
            key = text(manifest, "apiVersion").rpartition("/")[0], text(manifest, "kind"), *identity(manifest)[1:]
            if key[-1] and key in seen:
                found.append(manifest)
            seen.add(key)
        return found

    @cached_property
    def _with_rights(self) -> frozenset[tuple[str, str]]:
        found = set()
        for binding in self.of_kind("RoleBinding", "ClusterRoleBinding"):
            for subject in objects(binding, "subjects"):
                kind, name = text(subject, "kind"), text(subject, "name")
                if kind == "ServiceAccount":
                    found.add((text(subject, "namespace") or namespace_of(binding), name))
                elif kind == "Group" and name.startswith("system:serviceaccounts"):
                    found.add((name.removeprefix("system:serviceaccounts").removeprefix(":"), ""))
        return frozenset(found)

    def has_rights(self, namespace: str, account: str) -> bool:
        """Whether a binding of the stack names this service account, or a group that it is in."""
        return bool({(namespace, account), (namespace, ""), ("", "")} & self._with_rights)

    @cached_property
    def _pods(self) -> _PodIndex:
        return _PodIndex(self.of_kind(*WORKLOAD_KINDS))

    def selected(self, namespace: str, selector: Mapping[str, Any]) -> Iterator[Manifest]:
        """The workloads in `namespace` whose pods `selector`, a Kubernetes LabelSelector, selects."""
        return self._pods.selected(namespace, selector)


class _PodIndex:
    """Finds workloads by the labels of their pods without comparing each selector with each workload."""

    def __init__(self, workloads: Iterable[Manifest]) -> None:
        self._all: dict[str, list[Manifest]] = defaultdict(list)
        self._by_label: dict[tuple[str, str, str], list[Manifest]] = defaultdict(list)
        # Workloads with unknown labels: only a selector that needs those labels may fail on them.
        self._unsure: dict[str, list[Manifest]] = defaultdict(list)
        for workload in workloads:
            namespace = namespace_of(workload)
            try:
                labels = pod_labels(workload)
            except UnknownValueError:
                self._unsure[namespace].append(workload)
                continue
            if any(value is UNKNOWN for value in labels.values()):
                self._unsure[namespace].append(workload)
                continue
            self._all[namespace].append(workload)
            for key, value in labels.items():
                if isinstance(value, str):
                    self._by_label[namespace, key, value].append(workload)

    def selected(self, namespace: str, selector: Mapping[str, Any]) -> Iterator[Manifest]:
        """See `Stack.selected`."""
        buckets = [self._all.get(namespace, [])]
        match_labels = mapping(selector, "matchLabels")
        for key in match_labels:
            buckets.append(self._by_label.get((namespace, key, text(match_labels, key)), []))
        smallest = min(buckets, key=lambda bucket: len(bucket))
        candidates = chain(smallest, self._unsure.get(namespace, ()))
        return (workload for workload in candidates if selects(selector, pod_labels(workload)))


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default


def pod_labels(workload: Manifest) -> Mapping[str, Any]:
    """The labels of a workload's pods."""
    return mapping(pod_template(workload), "metadata", "labels")


def selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether a Kubernetes LabelSelector selects what has these labels."""
    match_labels = mapping(selector, "matchLabels")
    if any(get(labels, key) != get(match_labels, key) for key in match_labels):
        return False
    for expression in objects(selector, "matchExpressions"):
        value = get(labels, text(expression, "key"))
        values = strings(expression, "values")
        match get(expression, "operator"):
            case "In":
                met = value in values
            case "NotIn":
                met = value not in values
            case "Exists":
                met = value is not None
            case "DoesNotExist":
                met = value is None
            case _:
                met = False
        if not met:
            return False
    return True
