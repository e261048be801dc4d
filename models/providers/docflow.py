"""What TextIn DocFlow can do with reviews."""

from ..capabilities import Capabilities, Kind, Option

DOCFLOW = Capabilities(
    provider="docflow",
    title="TextIn DocFlow reviews",
    account="reviews",
    base_url="https://docflow.textin.ai",
    kinds=(
        Kind("review_task", "/review/task/retry", "/review/task/result", digits=True, conflict="whole"),
        Kind(
            "review_rule",
            "/review/task/rule/retry",
            "/review/task/result",
            sub_id="required",
            digits=True,
            check_first=True,
            conflict="rule",
        ),
    ),
    # "Control the frequency" is all that is published.
    calls_per_minute=60,
    calls_per_hour=3_600,
    concurrency=8,
    options={
        "app_id": Option(secret=True, header=True, required=True, identity=True, example="TI_APP_ID"),
        "secret_code": Option(secret=True, header=True, required=True, example="TI_SECRET"),
        "auth": Option(default="headers", choices=("headers", "hmac"), example="headers"),
        "workspace_id": Option(pattern=r"[0-9]{1,64}", example="1234567890"),
        "enterprise_id": Option(pattern=r"[0-9]{1,64}", example="1234567890"),
        "archive_results": Option(type="boolean", default=False, example="false"),
    },
    credentials=(("app_id", "secret_code"),),
    # The SDK's base ends with it, the documents' paths begin with it: both forms are given as base_url.
    optional_path="/api",
    # A review's result shows all its rules with their reasoning, and is archived whole.
    read_bytes=8 * 1024 * 1024,
    read_items=200_000,
)
