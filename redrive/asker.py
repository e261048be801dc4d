"""Who is asking, as actions record it."""

import getpass
import os
import socket


def this_user() -> str:
    """This process's user, ``user@host``; ``uid 10001@host`` where the user has no name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user often has none
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
