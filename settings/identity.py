"""Who an agent is: to the API server, and to a cloud."""

from __future__ import annotations

from collections.abc import Iterator

from manifests.problems import Problem
from manifests.secret_text import secret_in_plain_text

from .model import Model
from .types import GcpServiceAccount, IamRole, LabelKey, Uuid


class AwsIdentity(Model):
    """IAM roles for service accounts, on EKS.

    https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
    """

    role_arn: IamRole
    """The role that the pods assume. Their SDK asks STS for it: declare `egress: [sts.REGION.amazonaws.com:443]`."""


class GcpIdentity(Model):
    """Workload Identity Federation for GKE; the edge to the node's metadata server comes with it.

    https://docs.cloud.google.com/kubernetes-engine/docs/how-to/workload-identity
    """

    service_account: GcpServiceAccount | None = None
    """The IAM service account to impersonate; absent: IAM policies name the Kubernetes ServiceAccount itself."""


class AzureIdentity(Model):
    """Microsoft Entra Workload ID, on AKS.

    https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html
    """

    client_id: Uuid
    """The client id of the managed identity or application. Its SDK asks Entra: declare
    `egress: [login.microsoftonline.com:443]`."""


class Identity(Model):
    """The ServiceAccount of an agent, which every agent has one of."""

    token: bool = False
    """Mount a token for the API server, which the kubelet renews hourly. What it may do there is up to RoleBindings of
    your own; the way there is `egress` to the API server's address."""
    aws: AwsIdentity | None = None
    gcp: GcpIdentity | None = None
    azure: AzureIdentity | None = None
    annotations: dict[LabelKey, str] = {}
    """Annotations of the ServiceAccount that something else reads, such as Vault's."""

    def problems(self) -> Iterator[Problem]:
        """It is of one cloud, and the annotations are neither set by that nor secret."""
        clouds = [name for name in ("aws", "gcp", "azure") if getattr(self, name) is not None]
        for cloud in clouds[1:]:
            yield Problem((cloud,), f"the agent's cloud is {clouds[0]} already", "set one of them to `null`")
        taken = self.account_annotations()
        for key, value in self.annotations.items():
            if key in taken:
                yield Problem(("annotations", key), f"is set by `{clouds[0]}`", "remove it")
            elif secret_in_plain_text("", value):
                yield Problem(("annotations", key), "looks like a secret in plain text", "remove it")

    def account_annotations(self) -> dict[str, str]:
        """The annotations by which a cloud knows the ServiceAccount."""
        if self.aws is not None:
            return {"eks.amazonaws.com/role-arn": self.aws.role_arn}
        if self.gcp is not None and self.gcp.service_account is not None:
            return {"iam.gke.io/gcp-service-account": self.gcp.service_account}
        if self.azure is not None:
            return {"azure.workload.identity/client-id": self.azure.client_id}
        return {}

    def pod_labels(self) -> dict[str, str]:
        """The labels by which a cloud's webhook knows the pods."""
        return {"azure.workload.identity/use": "true"} if self.azure is not None else {}

    def injected_variables(self) -> set[str]:
        """The variables that a cloud's webhook adds to the pods, with the file of a token.

        https://github.com/aws/amazon-eks-pod-identity-webhook#readme
        https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html
        """
        if self.aws is not None:
            aws = ("ROLE_ARN", "WEB_IDENTITY_TOKEN_FILE", "REGION", "DEFAULT_REGION", "STS_REGIONAL_ENDPOINTS")
            return {f"AWS_{name}" for name in aws}
        if self.azure is not None:
            return {f"AZURE_{name}" for name in ("CLIENT_ID", "TENANT_ID", "FEDERATED_TOKEN_FILE", "AUTHORITY_HOST")}
        return set()
