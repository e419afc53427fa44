"""A real Kubernetes control plane for tests, benchmarks and playing, built from the package registries.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real ones; KWOK stands in for the kubelets.
docs/test-cluster.md says how to use it. Not part of the wheel.
"""
