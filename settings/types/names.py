"""Names of objects, labels, agents, variables and images."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from manifests.problems import ProblemError
from manifests.text import quoted

from .matching import Matching

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_REMEDY = "use lower-case letters, digits and inner hyphens"

DnsLabel = Annotated[
    str,
    Matching(rf"^{LABEL}$", 63, "a DNS label", LABEL_REMEDY),
]
"""A DNS label as in RFC 1123: at most 63 lower-case letters, digits and hyphens."""

DnsSubdomain = Annotated[
    str,
    Matching(rf"^{LABEL}(\.{LABEL})*$", 253, "a DNS subdomain", f"{LABEL_REMEDY}, separated by dots"),
]
"""A DNS subdomain as in RFC 1123: the name of a Secret or StorageClass."""


_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"

LabelKey = Annotated[
    str,
    Matching(rf"^({LABEL}(\.{LABEL})*/)?{_LABEL_NAME}$", 317, "a label key", "write `name` or `example.com/name`"),
]
"""The key of a label, a taint or an extended resource: at most 63 characters behind an optional DNS prefix.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

LabelValue = Annotated[
    str,
    Matching(rf"^{_LABEL_NAME}$", 63, "a label value", "use letters, digits and inner hyphens, dots and `_`"),
]
"""The value of a label, not empty."""

PoolName = Annotated[LabelValue, Field(json_schema_extra={"examples": ["spot", "onDemand"]})]
"""What an environment calls a kind of nodes."""


def _not_taken(name: str) -> str:
    # Every namespace has a ServiceAccount `default` already.
    if name == "default":
        raise ProblemError.of("`default` is taken by Kubernetes", "choose another name")
    return name


AgentName = Annotated[
    str,
    Matching(r"^[a-z]([-a-z0-9]*[a-z0-9])?$", 42, "an agent name", f"{LABEL_REMEDY}, and begin with a letter"),
    AfterValidator(_not_taken),
]
"""A DNS label of at most 42 characters: the suffixes that Kubernetes gives to pods must fit into 63."""


def _not_the_systems(name: str) -> str:
    if name == "default" or name.startswith("kube-"):
        what = f"`{name}` belongs to the cluster itself, which a default deny would stop"
        raise ProblemError.of(what, "choose another")
    return name


NamespaceName = Annotated[DnsLabel, AfterValidator(_not_the_systems)]
"""A namespace that the stack may own: not `default`, and none of the cluster's own."""


EnvName = Annotated[
    str,
    Matching(
        r"^[A-Z_][A-Z0-9_]*$",
        128,
        "an environment variable",
        "use upper-case letters, digits and underscores",
    ),
]
"""The name of an environment variable in upper case."""


# https://github.com/distribution/reference: [host[:port]/]path[:tag][@digest]
_IMAGE = re.compile(
    r"([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


def _image(text: str) -> str:
    if not _IMAGE.fullmatch(text):
        raise ProblemError.of(f"{quoted(text)} is not an image reference", "write `registry/name:tag`")
    if "@" not in text and image_tag(text) in (None, "latest"):
        tag = "has no tag, which means `latest`" if image_tag(text) is None else "has the tag `latest`"
        raise ProblemError.of(
            f"`{text}` {tag} and changes under a running release", f"write `{text.split(':latest')[0]}:VERSION`"
        )
    return text


def image_tag(image: str) -> str | None:
    """Return the tag of an image reference, or None where it has none (a digest is not a tag)."""
    _, _, last = image.split("@")[0].rpartition("/")
    return last.partition(":")[2] or None


ImageRef = Annotated[str, AfterValidator(_image), Field(json_schema_extra={"examples": ["ghcr.io/acme/agent:1.4.2"]})]
"""A container image reference with a tag other than `latest`, or with a digest."""


GpuResource = Annotated[
    str,
    Matching(rf"^{LABEL}(\.{LABEL})+/[A-Za-z0-9._-]+$", 253, "an extended resource", "write it as `nvidia.com/gpu`"),
    Field(json_schema_extra={"examples": ["nvidia.com/gpu", "amd.com/gpu"]}),
]
"""The extended resource by which a device plugin offers GPUs, also the key of the taint that keeps other pods off such
nodes by convention."""
