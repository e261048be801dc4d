"""The ``redrive.toml`` that ``redrive init`` writes: every key with its default, and accounts to start from.

As in other configuration files, ``#key = value`` is a setting at its default and ``# words`` are words.
"""

from collections.abc import Iterator, Sequence

from redrive.models.capabilities import Capabilities, Option
from redrive.models.errors import BadInput
from redrive.models.providers import BUILT_IN, capabilities_of, known_providers
from redrive.models.settings.limits import Limits, default_limits

_GENERAL = """\
# Settings of Redrive. Every key is shown with its default: remove the # before a key to change it.
# Secrets are not written here but as { env = "NAME" } or { file = "PATH" }. Durations are in seconds.
# Check this file with: redrive doctor
# To try Redrive without a provider: put the accounts that `redrive sandbox` prints at the end of this file.

[policy]                           # for every account; [accounts.NAME.policy] overrides it key by key
#max_retries = 5                   # per task; a provider's own cap wins
#retry_canceled = true
#backoff = "exponential"           # exponential | linear | constant | a list such as [30, 120, 600]
#base_seconds = 30                 # the wait after the first attempt
#factor = 2.0                      # what an exponential wait grows by
#max_seconds = 3600                # the longest wait; at least base_seconds
#jitter = "full"                   # full | equal | none: how much of a wait is left to the dice
#max_errors = 20                   # retries without a call, or checks nobody can read, in a row before it is given up
#give_up_after_seconds = 604800    # older than this, a task is not tried again (too_old)
#check_after_seconds = 30          # first check of a retried task, then ever more slowly
#check_max_seconds = 300           # the longest time between two checks; at least check_after_seconds
#settle_seconds = 60               # how long a provider may still show the state from before the retry
#check_timeout_seconds = 86400     # how long a retried task is followed; at least settle_seconds
#track_results = true              # false: a retry the provider accepts counts as succeeded
#check_before_retry = "auto"       # auto (where the provider may retry by itself) | always | never
#on_unknown = "hold"               # when nobody can say what became of an attempt: hold | retry
#on_failure = {}                   # by failure code, such as { "20130" = "never", "20201" = { max_retries = 1 } }

[broker]
#installation = "redrive"          # in the names of the queues; not set: the name of the database

[scheduler]
#poll_seconds = 1                  # the longest it waits before it looks for due work again

[worker]
#threads = 8                       # database steps at once per worker process; batches that wait hold no thread
#batches = 4000                    # batches under way at once per worker process

[breaker]                          # when an account is left alone for a while
#failures = 5                      # failed calls in a row that open it
#open_seconds = 30                 # its first wait, growing with every probe that fails
#max_open_seconds = 600            # its longest wait; at least open_seconds
#max_refusals = 100                # refusals in a row, without one acceptance, that pause the account

[retention]
#succeeded_days = 30
#dead_days = 365                   # not set: dead tasks are kept
#batches_days = 1

[flower]
#address = "127.0.0.1:5555"        # user and password: FLOWER_BASIC_AUTH, else made once and shown
"""


def render(providers: Sequence[str] | None = None) -> str:
    """The text of a ``redrive.toml``.

    Args:
        providers: those whose account is to be active; the other built-in ones are shown commented out.

    Raises:
        BadInput: nobody provides one of that name.
    """
    wanted = list(dict.fromkeys(providers or ()))
    names = [*BUILT_IN, *(name for name in wanted if name not in BUILT_IN)]
    return "\n".join([_GENERAL, *(_account(name, active=name in wanted) for name in names)])


def _account(provider: str, *, active: bool) -> str:
    capabilities = capabilities_of(provider)
    if capabilities is None:
        raise BadInput(f"{provider} is not a provider; use one of {', '.join(known_providers())}")
    name, off = capabilities.account or provider, "" if active else "#"
    lines = [
        f"# {capabilities.title}",
        f"{off}[accounts.{name}]",
        f'{off}provider = "{provider}"',
        *(f"{off}{line}" for line in _needed(capabilities)),
        *_optional(capabilities),
        f"\n{off}[accounts.{name}.limits]",
        *(f"#{key} = {_toml(value)}" for key, value in _limits(name, capabilities).items()),
        f"\n{off}[accounts.{name}.policy]",
        "#base_seconds = 30",
        f"\n{off}[accounts.{name}.failures]",
        '#"out of memory" = "oom"          # part of the words, or a code = the failure code to store',
    ]
    return "\n".join([*lines, ""])


def _needed(capabilities: Capabilities) -> Iterator[str]:
    """What an account cannot do without, its credential being the first of the alternatives."""
    first = capabilities.credentials[0] if capabilities.credentials else ()
    for key, option in capabilities.options.items():
        if option.required or key in first:
            yield _setting(key, option)


def _optional(capabilities: Capabilities) -> Iterator[str]:
    """The other credentials as words, because beside the first they would be wrong; then the rest as settings."""
    options, credentials = capabilities.options, capabilities.credentials
    for alternative in credentials[1:]:
        yield f"# or: {', '.join(_setting(key, options[key]) for key in alternative)}"
    in_credentials = {key for alternative in credentials for key in alternative}
    for anchor, companions in capabilities.optional_with.items():
        yield from (f"# beside {anchor}: {_setting(key, options[key])}" for key in companions)
        in_credentials.update(companions)
    examples = {key: option.example for key, option in options.items()}
    yield f'#base_url = "{capabilities.base_url.format_map(examples)}"'
    yield "#allow_http = false"
    yield '#ca_file = "/etc/redrive/ca.pem"           # an authority of your own, trusted besides the usual ones'
    yield '#proxy = "http://proxy.example.com:3128"'
    for key, option in options.items():
        if not option.required and key not in in_credentials:
            yield f"#{_setting(key, option)}{_choices(option)}"


def _limits(name: str, capabilities: Capabilities) -> dict[str, object]:
    fixed = {key: field.default for key, field in Limits.model_fields.items()}
    return fixed | default_limits(name, capabilities)


def _setting(key: str, option: Option) -> str:
    if option.secret:
        return f'{key} = {{ env = "{option.example or key.upper()}" }}'
    return f"{key} = {option.example if option.type == 'boolean' else _toml(option.example)}"


def _choices(option: Option) -> str:
    return f"    # {' | '.join(option.choices)}" if option.choices else ""


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value:.12g}" if isinstance(value, float) else str(value)
