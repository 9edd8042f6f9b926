"""All objects of a stack, indexed for the rules that look at several at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Final

from .capacity import NamespaceCapacity, capacity
from .model import Manifest
from .reading import UNKNOWN, UnknownValueError, get, mapping, objects, strings, text
from .workloads import SCALED_KINDS, WORKLOAD_KINDS, kind_of, namespace_of, pod_template

WHOLE: Final[Manifest] = {"kind": "Stack", "metadata": {"name": "all"}}
"""The subject of a rule about all objects together: a finding and a waiver call it `Stack/all`."""


class Stack:
    """The objects of one stack. The indexes are made when a rule first asks for them."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self.manifests: Sequence[Manifest] = tuple(manifests)

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
    def _by_namespace(self) -> Mapping[tuple[str, str], list[Manifest]]:
        index = defaultdict(list)
        for manifest in self.of_kind("ResourceQuota", "LimitRange", "NetworkPolicy"):
            index[kind_of(manifest), namespace_of(manifest)].append(manifest)
        return dict(index)

    def in_namespace(self, kind: str, namespace: str) -> Sequence[Manifest]:
        """The ResourceQuotas, LimitRanges or NetworkPolicies in `namespace`."""
        return self._by_namespace.get((kind, namespace), ())

    def namespaces_with_workloads(self) -> Iterator[Manifest]:
        """The Namespaces that workloads of this stack run in, with no labels if the stack has no such object."""
        declared = {text(manifest, "metadata", "name"): manifest for manifest in self.of_kind("Namespace")}
        for name in dict.fromkeys(namespace_of(manifest) for manifest in self.of_kind(*WORKLOAD_KINDS)):
            bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            yield declared.get(name, bare)

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
            target = mapping(manifest, "spec", "scaleTargetRef")
            # A ScaledObject may leave out the kind.
            kind = text(target, "kind") or "Deployment"
            index[kind, namespace_of(manifest), text(target, "name")].append(manifest)
        return dict(index)

    def autoscalers(self, workload: Manifest) -> Sequence[Manifest]:
        """The HorizontalPodAutoscalers and ScaledObjects that set the replicas of `workload`."""
        key = kind_of(workload), namespace_of(workload), text(workload, "metadata", "name")
        return self._autoscalers.get(key, ())

    @cached_property
    def capacity(self) -> Sequence[NamespaceCapacity]:
        """What the pods of each namespace ask for; raises as `capacity` does."""
        return capacity(self.manifests)

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
                labels = _pod_labels(workload)
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
        return (workload for workload in candidates if _selects(selector, _pod_labels(workload)))


def _pod_labels(workload: Manifest) -> Mapping[str, Any]:
    return mapping(pod_template(workload), "metadata", "labels")


def _selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
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
