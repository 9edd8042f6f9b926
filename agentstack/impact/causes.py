"""Why pods restart: what differs in their template, and which changed configuration they read.

Values of secrets are not known here: what rolls because one of them changes is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from agentstack.compare.model import ABSENT, Change, FieldChange, is_at
from agentstack.compare.snapshot import Key, Object
from manifests.fields import get, objects, text
from manifests.labels import CONFIG_HASH, SECRET_HASH
from manifests.references import reads
from manifests.workloads import containers
from settings.rollout import version_of, with_version

_HASHES: Final = {
    f'metadata.annotations["{CONFIG_HASH}"]': "configuration",
    f'metadata.annotations["{SECRET_HASH}"]': "a secret's value",
}
_CONTAINER: Final = re.compile(r"spec\.(?:initContainers|containers)\[([^\]]+)\](?:\.(.*))?")
_VARIABLE: Final = re.compile(r"env\[([^\]]+)\]")


def of_template(change: Change) -> Iterator[FieldChange]:
    """Yield the changes of the pod template that the engine does not pass over, with paths from there on."""
    root = "template." if change.object.key[0] == "PodTemplate" else "spec.template."
    for field in change.fields:
        if field.path.startswith(root) and not is_at(field.path, *change.object.ignored):
            yield replace(field, path=field.path.removeprefix(root))


def causes(template: Sequence[FieldChange], known: Object, configuration: Mapping[Key, Change]) -> Iterator[str]:
    """Yield why the pods of a workload restart, in words, without values of variables."""
    several = sum(1 for _ in containers(known.manifest)) > 1
    images = any(field.path.endswith(".image") for field in template)
    for field in template:
        if (meaning := _HASHES.get(field.path)) is not None:
            named = (
                [described(change) for change, _ in changed_configuration(known, configuration)]
                if meaning == "configuration"
                else []
            )
            yield from named or [meaning]
            continue
        if images and field.path == 'metadata.labels["app.kubernetes.io/version"]':
            continue
        match = _CONTAINER.fullmatch(field.path)
        if match is None:
            yield _words(field.path)
            continue
        where = f" of {match[1]}" if several else ""
        yield f"{_of_container(match[2] or '', field)}{where}"


def _of_container(path: str, field: FieldChange) -> str:
    variable = _VARIABLE.match(path)
    if path == "image":
        old, new = str(field.before), str(field.after)
        same = with_version(old, version_of(new)) == new and version_of(old)
        return f"image {version_of(old)} -> {version_of(new)}" if same else f"image {old} -> {new}"
    if variable is not None:
        return f"variable {variable[1]}"
    if not path:
        return "container added" if field.before is ABSENT else "container removed"
    return _words(path)


_PLAIN: Final = (
    (r"(args|command)\b.*", "arguments"),
    (r"resources\b.*", "resources"),
    (r"(startup|liveness|readiness)Probe\b.*", r"\1 probe"),
    (r"envFrom\b.*|env \(order\)", "variables"),
    (r"(?:spec\.)?(volume)s?(?:Mounts)?\b.*", r"\1s"),
    (r'metadata\.(label|annotation)s(?:\.|\["?)([^"\]]+).*', r"\1 \2"),
    (r"spec\.(.*)", r"\1"),
)


def _words(path: str) -> str:
    for pattern, words in _PLAIN:
        if re.fullmatch(pattern, path):
            return re.sub(pattern, words, path)
    return path


def described(change: Change) -> str:
    """Name a changed ConfigMap or Secret, with the keys that differ."""
    keys = sorted(_keys(change))
    shown = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
    return f"{change.object.title}: {shown}" if shown else change.object.title


def _keys(change: Change) -> set[str]:
    """The keys of a ConfigMap or Secret that differ."""
    found = set()
    for field in change.fields:
        section, _, rest = field.path.partition(".")
        if section in ("data", "binaryData", "stringData") and rest:
            found.add(rest)
        elif (match := re.fullmatch(r'(?:data|binaryData|stringData)\["(.*)"\]', field.path)) is not None:
            found.add(match[1])
        elif field.path in ("data", "binaryData", "stringData"):
            found |= {key for side in (field.before, field.after) if isinstance(side, Mapping) for key in side}
    return found


def changed_configuration(known: Object, configuration: Mapping[Key, Change]) -> Iterator[tuple[Change, bool]]:
    """Yield each changed ConfigMap or Secret that the pods read, and whether they see the change while they run."""
    for reference in reads(known.manifest):
        found = configuration.get((reference.kind, known.key[1], reference.name))
        if found is not None and (keys := _keys(found)) and (not reference.key or reference.key in keys):
            yield found, bool(reference.volume) and not _by_sub_path(known, reference.volume)


def _by_sub_path(known: Object, volume: str) -> bool:
    """Whether a volume is mounted by `subPath`, so that its files stay as they were at the start.

    https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically
    """
    mounts = [mount for c in containers(known.manifest) for mount in objects(c, "volumeMounts")]
    return any(text(mount, "name") == volume and get(mount, "subPath") for mount in mounts)
