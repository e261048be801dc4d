"""The workers' floor: the Celery app and its doors, the sending, and the providers."""
