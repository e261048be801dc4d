"""Redrive over the infrastructure of others, as Debian ships it. Run by ``make test-infrastructure``."""
