"""The deciding floor: what is due, claims, publishing, rescue, pruning."""
