"""The embedded stack on a cluster of yours: pods run there, and everything of AWS on this machine.

The functions know EKS and nothing else. Hence the front (`front`): an API server to them, which has their tokens reviewed as
EKS does, and calls the real one as the user of your kubeconfig, who asks to be taken for whom the token is from. So the
cluster's own RBAC decides, as it does on EKS.
"""
