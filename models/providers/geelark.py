"""What GeeLark cloud phones can do."""

from ..capabilities import Capabilities, Kind, Option

GEELARK = Capabilities(
    provider="geelark",
    title="GeeLark cloud phones",
    account="phones",
    base_url="https://openapi.geelark.com",
    kinds=(Kind("", "/open/v1/task/restart", "/open/v1/task/query"),),
    # The restart page names no maximum; 100 is that of its sibling calls query, cancel and historyRecords.
    retry_ids=100,
    check_ids=100,
    retry_cap=5,  # "A task can be retried up to 5 times" (Retry Task page)
    # Published: 200 a minute and 24,000 an hour per API; going over locks the API for two hours, so stay well below.
    calls_per_minute=180,
    calls_per_hour=20_000,
    published_per_minute=200,
    published_per_hour=24_000,
    retries_by_itself=frozenset({"client_ui"}),  # "will automatically retry up to 2 times" (Retry Task page)
    options={
        "token": Option(secret=True, header=True, identity=True, example="GEELARK_TOKEN"),
        "app_id": Option(header=True, identity=True, example="eH6gQR4oHr3FsZpI36La01IW"),
        "api_key": Option(secret=True, example="GEELARK_API_KEY"),
    },
    credentials=(("token",), ("app_id", "api_key")),
)
