"""Secrets on a server: the keys that encrypt them, and the values that offers carry."""
