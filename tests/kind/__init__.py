"""The chart on a real cluster of several nodes, while things die: ``make kind-test``.

    python -m tests.kind --redis sentinel

A release is installed into a namespace that enforces the restricted pod security standard. Two
hundred stock clients of all kinds stream through the ingress while pods are deleted and killed,
the deployment rolls, nodes are drained and stopped, and Redis dies; the longest time that any
client was without a connection, or without events, is held against a limit for each fault, and in
the end the history of every client against the server's.

Limits: the cluster is there before (``make kind-up``, or the CI's own), with an ingress controller
and the images; nodes are containers of the local Docker engine. Clients and cluster share the
machine, so that what is measured includes what they take from each other.
"""
