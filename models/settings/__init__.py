"""Settings: parsed once, checked together, and able to say what is wrong with them.

``load()`` reads ``redrive.toml`` and the ``REDRIVE_*`` variables. Every key is described in docs/settings.md.
"""

from .accounts import AccountSettings
from .environment import Environment
from .limits import Limits
from .load import SECTIONS, Settings, check_secrets, doubtful_secrets, load, unread_proxies
from .policy import Policy
from .services import (
    BreakerSettings,
    BrokerSettings,
    FlowerSettings,
    RetentionSettings,
    SchedulerSettings,
    WorkerSettings,
)
from .urls import hide_password

__all__ = [
    "SECTIONS",
    "AccountSettings",
    "BreakerSettings",
    "BrokerSettings",
    "Environment",
    "FlowerSettings",
    "Limits",
    "Policy",
    "RetentionSettings",
    "SchedulerSettings",
    "Settings",
    "WorkerSettings",
    "check_secrets",
    "doubtful_secrets",
    "hide_password",
    "load",
    "unread_proxies",
]
