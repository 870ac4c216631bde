"""The calls to AWS, through clients that are built once and shared by all threads.

Everything goes through Amazon's own `AwsSession`, so that its cost tracker and reservations work, in the region of the
device, with short time-outs and pooled connections. One method is one question; nothing here sleeps or tries again.

Why a question about a task is asked exactly once (`total_max_attempts` 1): botocore repeats a request whose answer was
lost by itself, and where the service ignores idempotency tokens a repeated create is a second task, paid twice. The
core looks for the first one before it asks again. Facts of the device and the account are asked for before the core has
anything in hand, so there botocore is left to try again; so is it from the second page of a search on, because a search
that breaks off begins anew, and of a long one AWS, which takes five pages a second, would always refuse some page.

Why `get_quantum_task` is called without its decorator: that sleeps and tries again, which is the core's business.

Why a `user_agent` of our own, and dates read by Python: botocore puts its name together from dozens of parts twice a
call, and guesses the form of each date, which together is a sixth of what a call costs here.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session as Core
from botocore.utils import parse_timestamp
from braket.aws import AwsSession

from backends.braket.aws import ARNS, Address
from backends.braket.credentials import LOGIN
from backends.braket.errors import translated
from backends.braket.search import KEY_TAG, TaskSearch
from qcaan import __version__
from qcaan.errors import ConfigError, CredentialsError

_LOGIN = f"AWS credentials: {LOGIN}, or give the option profile=NAME"
_POOL = 32


class Session:
    """Calls to one region of AWS with one set of credentials.

    Args:
        address: the device; its region is the session's.
        profile: AWS profile; None for the environment's credentials, or a role of this machine.
        region: region for a device that is in all of them; None for the configured one.

    Raises:
        CredentialsError: there are no credentials; the message names whatever else is missing. Nothing was sent.
        ConfigError: there is no region.
    """

    def __init__(self, address: Address, *, profile: str | None = None, region: str | None = None) -> None:
        with translated(f"backend 'braket', option profile={profile!r}"):
            place = address.region or region or os.environ.get("AWS_REGION")
            core = Core()
            core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
            session = boto3.Session(profile_name=profile, region_name=place, botocore_session=core)
            _check_complete(address, session)
            self._facts = AwsSession(boto_session=session, config=_config(attempts=6))
            self._tasks = AwsSession(boto_session=session, config=_config(attempts=1))
            self._s3 = session.client("s3", config=_config(attempts=2))
        self.region: str = self._tasks.braket_client.meta.region_name
        if self.region != session.region_name or address.region not in ("", self.region):
            raise ConfigError(f"backend 'braket': {address.arn} is not in the session's region {self.region}")
        self._address = address
        self._search = TaskSearch(address.arn, self._tasks_of)

    def account(self) -> str:
        """The account's number, 12 digits."""
        with translated("look up the AWS account"):
            return str(self._facts.account_id)

    def capabilities(self) -> str:
        """The device's capabilities, JSON.

        Raises:
            ConfigError: the device is retired.
        """
        with translated(f"look up {self._address.arn} in {self.region}"):
            device = self._facts.get_device(self._address.arn)
        if device["deviceStatus"] == "RETIRED":
            raise ConfigError(f"backend 'braket': {self._address.arn} is retired; use {', '.join(ARNS)}")
        return str(device["deviceCapabilities"])

    def default_bucket(self) -> str:
        """The bucket "amazon-braket-REGION-ACCOUNT", made if it does not exist: what Amazon's SDK uses."""
        with translated("find the default S3 bucket"):
            try:
                return str(self._facts.default_bucket())
            except ValueError as error:
                raise ConfigError(
                    f"backend 'braket': {error}; give the option s3='s3://BUCKET/PREFIX' with a bucket of yours"
                ) from error

    def create(self, key: str, **request: object) -> str:
        """Create a task with `key` as its idempotency token and tag; its ARN."""
        with translated(f"create a task at {self._address.arn}"):
            return str(
                self._tasks.create_quantum_task(
                    deviceArn=self._address.arn, clientToken=key, tags={KEY_TAG: key}, **request
                )
            )

    def task(self, arn: str) -> dict[str, Any]:
        """The task as `GetQuantumTask` describes it now."""
        with translated(f"look at task {arn}"):
            undecorated = getattr(AwsSession.get_quantum_task, "__wrapped__", AwsSession.get_quantum_task)
            described: dict[str, Any] = undecorated(self._tasks, arn)
            return described

    def read(self, bucket: str, name: str) -> bytes:
        """An S3 object."""
        with translated(f"read s3://{bucket}/{name}"):
            return bytes(self._s3.get_object(Bucket=bucket, Key=name)["Body"].read())

    def find(self, key: str) -> str | None:
        """The ARN of the task that is tagged with `key`; see `backends.braket.search`."""
        return self._search.find(key)

    def cancel(self, arn: str) -> None:
        """Ask for the end of a task; one that has ended is left as it is."""
        with translated(f"cancel task {arn}"):
            try:
                self._tasks.cancel_quantum_task(arn)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ConflictException":
                    raise

    def limit_spending(self, usd: float) -> None:
        """Make sure that AWS itself lets this account spend at most `usd` on the device.

        A limit that exists and is not higher is kept as it is; where there is none, one is made.

        Raises:
            ConfigError: the account has a higher limit, or one whose period is not now: then AWS refuses every task
                (docs.aws.amazon.com/braket/latest/developerguide/braket-pricing.html).
        """
        arn, client, now = self._address.arn, self._facts.braket_client, datetime.now(UTC)
        mine = [{"name": "deviceArn", "operator": "EQUAL", "values": [arn]}]
        with translated(f"look up the spending limits on {arn}"):
            limits = client.search_spending_limits(filters=mine, maxResults=100)["spendingLimits"]
        if idle := next((one for one in limits if not _holds(one.get("timePeriod") or {}, now)), None):
            raise ConfigError(
                f"backend 'braket', option spending_limit_usd={usd:g}: the period of the account's limit on {arn} is "
                "not now, and outside of it AWS takes no task; end it with 'aws braket delete-spending-limit "
                f"--spending-limit-arn {idle['spendingLimitArn']}'"
            )
        if not limits:
            with translated(f"limit the spending on {arn}"):
                client.create_spending_limit(deviceArn=arn, spendingLimit=f"{usd:.2f}")
            return
        lowest = min(limits, key=lambda one: float(one["spendingLimit"]))
        if float(lowest["spendingLimit"]) > usd:
            raise ConfigError(
                f"backend 'braket', option spending_limit_usd={usd:g}: the account's limit on {arn} is "
                f"{lowest['spendingLimit']} USD; lower it with 'aws braket update-spending-limit --spending-limit-arn "
                f"{lowest['spendingLimitArn']} --spending-limit {usd:.2f}', or leave the option out"
            )

    def _tasks_of(self, filters: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The tasks that pass, page after page."""
        client, place = self._tasks.braket_client, {"filters": filters, "maxResults": 100}
        with translated(f"search the tasks at {self._address.arn}"):
            while True:
                page = client.search_quantum_tasks(**place)
                yield from page["quantumTasks"]
                if not page.get("nextToken"):
                    return
                client, place = self._facts.braket_client, place | {"nextToken": page["nextToken"]}


def _holds(period: dict[str, datetime], now: datetime) -> bool:
    return period.get("startAt", now) <= now <= period.get("endAt", now)


def _time(value: Any) -> datetime:  # noqa: ANN401 - whatever a reply holds
    """A time in a reply, with its time zone."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        time = None
    return time if time is not None and time.tzinfo else parse_timestamp(value)


def _config(*, attempts: int) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=_POOL,
        user_agent=f"qcaan/{__version__} Boto3/{boto3.__version__} Botocore/{botocore.__version__}",
    )


def _check_complete(address: Address, session: boto3.Session) -> None:
    """Raise unless there are credentials and a region."""
    no_credentials = session.get_credentials() is None
    missing = [_LOGIN] if no_credentials else []
    offered = session.get_available_regions("braket")
    if not session.region_name:
        missing.append("a region: give the option region='us-east-1', or set AWS_REGION")
    elif not address.region and session.region_name not in offered:
        missing.append(f"another region than {session.region_name!r}: Braket is in {', '.join(offered)}")
    if not missing:
        return
    if address.is_qpu:
        missing.append(
            "and a budget, if there is none yet, as it charges by task and shot: 'budget.cap_usd' in the configuration"
        )
    text = f"backend 'braket': {address.arn} needs {'; '.join(missing)}. Nothing was sent"
    raise CredentialsError(text) if no_credentials else ConfigError(text)
