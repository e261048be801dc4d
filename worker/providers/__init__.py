"""The providers, one file each, found through the entry-point group ``redrive.providers``."""
