"""The settings file and the environment: every check, told under its key, and never a secret in the telling."""
