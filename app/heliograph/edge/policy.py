"""What browsers are told about the page: one content security policy for each document.

:data:`POLICIES` is the table; a file that it does not name gets :data:`PAGE_POLICY`. A change
of what a document may load is made here and nowhere else.

Guarantee: nothing of a policy comes from the request but the host's name, and that only when
it is one. Limit: a policy guards the page against what models, tools and other people write;
what the page's own scripts do is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Policy = Mapping[str, str]
"""Directive → its sources. ``{origin}`` stands for scheme and host of the request."""

PAGE_POLICY: Policy = {
    "default-src": "'none'",  # what is not named below is not loaded
    "script-src": "'self'",  # no inline script, no eval: what got into the text does not run
    "style-src": "'self'",  # no style attributes in markup either; scripts may set styles
    "img-src": "'self' data: blob:",  # no foreign pictures: their addresses could carry text away
    "font-src": "'self'",
    # Users name model and tool servers of their own, also in the local network. A websocket of
    # this host is 'self' (CSP 3; Chromium, Firefox, Safari 15.4): naming ws://host would take the
    # public name, which a proxy may not pass on. An older browser falls back to polling.
    "connect-src": "'self' https: http:",
    "worker-src": "'self'",
    "frame-src": "'self' https:",  # frame.html, python.html, and embeds that are an address
    "media-src": "'self' data: blob:",
    "manifest-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",  # a <base> would send relative addresses elsewhere
    "form-action": "'self'",
    "frame-ancestors": "'self'",  # no foreign page lays itself over ours
}

FRAME_POLICY: Policy = {
    # An origin of its own: no cookies, no storage, no way to the page but messages. Links open
    # in windows that are like any other.
    "sandbox": "allow-scripts allow-popups allow-popups-to-escape-sandbox",
    "default-src": "'none'",  # so no connections: an embed shows what it was given
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # markup of tools brings its styles along
    "img-src": "data: blob:",  # as on the page: a foreign picture would tell who looks
    "font-src": "data:",
    "media-src": "data: blob:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'self'",
}

PYTHON_POLICY: Policy = {
    "sandbox": "allow-scripts",
    "default-src": "'none'",
    # Named by its address, since 'self' takes no path: its own scripts, and nothing of the API.
    # Pyodide compiles WebAssembly, and starts in a worker made of a blob.
    "script-src": "{origin}/assets/ 'wasm-unsafe-eval' blob:",
    "connect-src": "'none'",  # the page fetches Pyodide's files and hands them in
    "worker-src": "blob:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'self'",
}

POLICIES: Mapping[str, Policy] = {
    "frame.html": FRAME_POLICY,
    "python.html": PYTHON_POLICY,
}

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # addresses name chats
}
_DOCUMENT = {
    **_ALWAYS,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",  # pages that links open have no handle on ours
}
# Frames with an opaque origin load these, as modules and with fetch.
_FOR_EVERY_ORIGIN = {
    **_ALWAYS,
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


def security_headers(name: str, *, scheme: str, host: str) -> dict[str, str]:
    """The headers of a file that have to do with who may do what.

    :param name: its path in the folder of the page, with ``/``.
    :param scheme: of the request. Behind a proxy that ends TLS ``http`` is right as well: a
        policy's ``http`` covers ``https`` (CSP 3, 6.7.2.9).
    :param host: of the request, with its port.
    """
    # Workers take the policy of their own script, so it goes with every file.
    policy = POLICIES.get(name, PAGE_POLICY)
    fixed = _FOR_EVERY_ORIGIN if for_every_origin(name) else _DOCUMENT
    return {**fixed, "Content-Security-Policy": written(policy, scheme=scheme, host=host)}


def for_every_origin(name: str) -> bool:
    """Whether a file is one of those with a hash or a version in their path."""
    return name.startswith(("assets/", "pyodide/"))


def written(policy: Policy, *, scheme: str, host: str) -> str:
    """A policy as the value of its header.

    A host that is none stands as ``'none'``, which allows less.
    """
    origin = f"{scheme}://{host}" if _HOST.fullmatch(host) else ""
    parts = []
    for directive, sources in policy.items():
        if "{origin}" in sources and not origin:
            sources = "'none'"
        parts.append(f"{directive} {sources.replace('{origin}', origin)}")
    return "; ".join(parts)
