"""What Huawei Cloud Workspace can do with script executions."""

from ..capabilities import Capabilities, Kind, Option

HUAWEI_WORKSPACE = Capabilities(
    provider="huawei_workspace",
    title="Huawei Cloud Workspace scripts",
    account="desktops",
    base_url="https://workspace.{region}.myhuaweicloud.com",
    kinds=(
        Kind("task", "/script-executions/retry", "/script-execution-records"),
        Kind("record", "/script-executions/retry", "/script-execution-records"),
    ),
    # No rate is published for this API; other Huawei services were seen to limit writes to 10 a minute.
    calls_per_minute=10,
    calls_per_hour=600,
    concurrency=4,
    options={
        "region": Option(required=True, pattern=r"[a-z]{2}-[a-z]+-[0-9]+", example="ap-southeast-1"),
        "project_id": Option(
            required=True, identity=True, pattern=r"[0-9A-Za-z_-]{1,64}", example="0123456789abcdef0123456789abcdef"
        ),
        "access_key": Option(secret=True, header=True, identity=True, example="HW_AK"),
        "secret_key": Option(secret=True, example="HW_SK"),
        "security_token": Option(secret=True, header=True, example="HW_SECURITY_TOKEN"),
        "auth_token": Option(secret=True, header=True, identity=True, example="HW_AUTH_TOKEN"),
        "iam_user": Option(identity=True, example="redrive"),
        "iam_password": Option(secret=True, example="HW_IAM_PASSWORD"),
        "iam_domain": Option(identity=True, example="example-domain"),
        "iam_url": Option(example="https://iam.ap-southeast-1.myhuaweicloud.com"),
    },
    credentials=(("access_key", "secret_key"), ("auth_token",), ("iam_user", "iam_password", "iam_domain")),
    optional_with={"access_key": ("security_token",), "iam_user": ("iam_url",)},
)
