"""Readings of GPUs, from NVML in a child process or from a dcgm-exporter.

Imports nothing: the child process must stay small.
"""
