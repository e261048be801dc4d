from tests.support.site import at, ours, sandbox

__all__ = ["at", "ours", "sandbox"]
