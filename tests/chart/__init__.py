"""Tests of the Helm chart that need no cluster: rendered, checked, and read as a whole.

``helm`` is the only module that knows how Helm is called; ``objects`` finds things in what was
rendered, ``restricted`` and ``flows`` judge it.
"""
