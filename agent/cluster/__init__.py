"""The live `ClusterView`: what guards and plans know of the cluster, from the inventory's own lists and watches."""
