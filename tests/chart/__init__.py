"""Tests of the Helm chart that need no cluster: it is rendered, checked, and read as a whole.

``helm`` is the only module that knows how Helm is called; ``cases`` has the values that are
rendered; ``restricted`` and ``flows`` judge what came out: pods by the Pod Security Standard,
NetworkPolicies by what they let through.
"""
