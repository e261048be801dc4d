"""The ground floor: rows, rules, every change of a task's status, settings.

Nothing here knows Celery or HTTP. ``scheduler``, ``worker`` and ``redrive`` stand on it.
"""
