"""The operator's side of the Kubernetes API: what it writes, lists, and watches."""
