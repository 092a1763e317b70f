"""The embedded Kubernetes cluster: an API server, its controllers, a process kubelet and a gateway, in one process.

It serves the part of Kubernetes that dropscore uses and aims to answer exactly as a real cluster does, refusals and
failures included; ``tests/cluster`` holds it and any real cluster to the same contract. What a process cannot have
(a network, a root file system and a user of its own) is said where it matters.
"""
