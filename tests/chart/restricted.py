"""The restricted Pod Security Standard, as a list of what a pod does against it.

Written from https://kubernetes.io/docs/concepts/security/pod-security-standards/ (baseline and
restricted, Linux), whose controls name the fields; :func:`house_rules` adds ours. What a cluster
admits is tested in a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.chart.helm import Object, Rendered

_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip
_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
_SELINUX = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def pods(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    """Every pod, or template of one, with a name for messages."""
    for found in rendered.objects:
        name = f"{found['kind']} {found['metadata']['name']}"
        if found["kind"] == "Pod":
            yield name, found
        elif found["kind"] == "CronJob":
            yield name, found["spec"]["jobTemplate"]["spec"]["template"]
        elif "template" in found.get("spec", {}):
            yield name, found["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    """All containers of a pod, of each kind."""
    spec = pod["spec"]
    return [
        each
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for each in spec.get(kind, [])
    ]


def violations(pod: Object) -> list[str]:
    """What the standard forbids, one sentence each."""
    spec = pod["spec"]
    context = spec.get("securityContext", {})
    found = [f"{flag} is true" for flag in ("hostNetwork", "hostPID", "hostIPC") if spec.get(flag)]
    for volume in spec.get("volumes", []):
        found += [
            f"volume {volume['name']} is of type {kind}"
            for kind in volume.keys() - {"name"} - _VOLUMES
        ]
    found += [
        f"sysctl {each['name']}"
        for each in context.get("sysctls", [])
        if each["name"] not in _SYSCTLS
    ]
    for container in containers(pod):
        found += [f"{container['name']}: {fault}" for fault in _container(container, context)]
    return found


def _container(container: Object, pod: Object) -> Iterator[str]:
    own = container.get("securityContext", {})

    def effective(field: str) -> Any:
        return own.get(field, pod.get(field))

    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if effective("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if effective("runAsUser") == 0:
        yield "runAsUser is 0"
    profile = (effective("seccompProfile") or {}).get("type")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield f"seccompProfile is {profile}"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "capabilities are not all dropped"
    if extra := {*capabilities.get("add", [])} - {"NET_BIND_SERVICE"}:
        yield f"capabilities {sorted(extra)} are added"
    if own.get("procMount") not in (None, "Default"):
        yield f"procMount is {own['procMount']}"
    armor = (effective("appArmorProfile") or {}).get("type")
    if armor not in (None, "RuntimeDefault", "Localhost"):
        yield f"appArmorProfile is {armor}"
    linux = effective("seLinuxOptions") or {}
    if linux.get("type") not in _SELINUX or linux.get("user") or linux.get("role"):
        yield f"seLinuxOptions are {linux}"
    if (effective("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"hostPort {port['hostPort']}"
    for handler in _handlers(container):
        for way in ("httpGet", "tcpSocket"):
            if handler.get(way, {}).get("host"):
                yield f"a probe names host {handler[way]['host']}"


def _handlers(container: Object) -> list[Object]:
    probes = [container.get(each) for each in ("startupProbe", "livenessProbe", "readinessProbe")]
    hooks = list(container.get("lifecycle", {}).values())
    return [each for each in [*probes, *hooks] if each]


def house_rules(pod: Object) -> list[str]:
    """What we ask besides: nothing to write to, no token but for the operator, and a share of the
    node that is said."""
    spec = pod["spec"]
    found = []
    speaks = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "operator"
    if spec.get("automountServiceAccountToken") is not speaks:
        found.append(f"automountServiceAccountToken is not {str(speaks).lower()}")
    if spec.get("enableServiceLinks") is not False:
        found.append("enableServiceLinks is not false")
    for container in containers(pod):
        name = container["name"]
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            found.append(f"{name}: readOnlyRootFilesystem is not true")
        resources = container.get("resources", {})
        for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if what not in resources.get(kind, {}):
                found.append(f"{name}: resources.{kind}.{what} is missing")
        if "cpu" in resources.get("limits", {}):
            found.append(f"{name}: a limit of CPU stops its event loop")
    return found + [
        f"volume {volume['name']} has no sizeLimit"
        for volume in spec.get("volumes", [])
        if "emptyDir" in volume and not (volume["emptyDir"] or {}).get("sizeLimit")
    ]
