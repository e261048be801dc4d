"""Tests without network, servers or processes."""
