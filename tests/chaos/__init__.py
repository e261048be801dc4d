"""A seeded monkey breaks everything at random while real processes work; then every task is accounted for."""
