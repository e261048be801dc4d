"""What certificates are trusted: one context for all accounts that trust the same, as each takes most of a megabyte."""

import ssl
from functools import lru_cache

import httpx

from .session import NotSentError


@lru_cache(maxsize=64)
def trusting(ca_file: str = "") -> ssl.SSLContext:
    """The usual authorities, and those in the file. Nothing is read from the environment.

    Raises:
        NotSentError: the file cannot be read, or holds no certificate.
    """
    context = httpx.create_ssl_context(verify=True, trust_env=False)
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or "it holds no certificate"
            raise NotSentError(f"ca_file {ca_file} cannot be used ({reason}); make it a PEM file") from None
    return context
