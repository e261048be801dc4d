"""A settings file per test."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from redrive.models.errors import SettingsError
from redrive.models.settings import Settings, load

Read = Callable[..., Settings]
Problems = Callable[..., tuple[str, ...]]

PHONES = """
[accounts.phones]
provider = "geelark"
token = { env = "GEELARK_TOKEN" }
"""

DESKTOPS = """
[accounts.desktops]
provider = "huawei_workspace"
region = "ap-southeast-1"
project_id = "0123456789abcdef"
access_key = { env = "HW_AK" }
secret_key = { env = "HW_SK" }
"""

REVIEWS = """
[accounts.reviews]
provider = "docflow"
app_id = { env = "TI_APP_ID" }
secret_code = { env = "TI_SECRET" }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "redrive.toml"


@pytest.fixture
def read(path: Path) -> Read:
    """The settings that a file with this text yields."""

    def read(text: str, environ: Mapping[str, str] | None = None) -> Settings:
        path.write_text(text)
        return load(path, environ or {})

    return read


@pytest.fixture
def problems(read: Read) -> Problems:
    """What is wrong with a file of this text: one tuple entry per problem."""

    def problems(text: str, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
        with pytest.raises(SettingsError) as caught:
            read(text, environ)
        return caught.value.problems

    return problems
