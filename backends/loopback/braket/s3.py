"""The parts of S3 and STS that Braket's clients use: buckets, whole objects, listings, and who the caller is.

Buckets are addressed in the path, as boto3 does for an address that is a number. Multipart uploads, copies and ranges
are refused; results are small.
"""

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, unquote
from xml.etree.ElementTree import Element, SubElement, tostring

from backends.loopback.braket.devices import ACCOUNT
from backends.loopback.braket.errors import ServiceError
from backends.loopback.braket.protocol import iso
from backends.loopback.disk import Disk

_S3 = "http://s3.amazonaws.com/doc/2006-03-01/"
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"
_PAGE = 1000
_OPERATIONS: Mapping[tuple[str, str], str] = {
    ("GET", "service"): "ListBuckets",
    ("PUT", "bucket"): "CreateBucket",
    ("HEAD", "bucket"): "HeadBucket",
    ("GET", "bucket"): "ListObjectsV2",
    ("PUT", "object"): "PutObject",
    ("GET", "object"): "GetObject",
    ("HEAD", "object"): "HeadObject",
    ("DELETE", "object"): "DeleteObject",
}


@dataclass(frozen=True)
class Reply:
    """HTTP status, body and headers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/xml"})


class S3:
    """Buckets and objects on disk."""

    operations = tuple(_OPERATIONS.values())

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._buckets = {name for name, _ in disk.all("bucket")}
        self._written: dict[str, float] = {}

    def create_bucket(self, name: str) -> None:
        """Make a bucket; it may exist."""
        self._buckets.add(name)
        self._disk.put("bucket", name, b"")

    def has_bucket(self, name: str) -> bool:
        """Whether a bucket exists."""
        return name in self._buckets

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Write an object."""
        self._disk.put("object", f"{bucket}/{key}", body)
        self._written[f"{bucket}/{key}"] = time.time()

    def age_s(self, bucket: str, key: str) -> float:
        """Seconds since an object was written; infinite if that was before the service started."""
        return time.time() - self._written.get(f"{bucket}/{key}", -math.inf)

    @staticmethod
    def operation(method: str, path: str) -> tuple[str, str, str]:
        """The operation's name, the bucket and the key of a request; `path` is percent-encoded.

        Raises:
            ServiceError: this service does not have it.
        """
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        level = "object" if key else "bucket" if bucket else "service"
        if (method, level) not in _OPERATIONS:
            raise ServiceError("NotImplemented", f"{method} of a {level} is not a part of this service")
        return _OPERATIONS[method, level], bucket, key

    async def answer(
        self, operation: str, bucket: str, key: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """Carry out an operation.

        Raises:
            ServiceError: there is no such bucket or object, or the request needs what this service does not have.
        """
        values = {name: found[0] for name, found in parse_qs(query, keep_blank_values=True).items()}
        if operation == "ListBuckets":
            return _xml(self._list_buckets())
        if operation == "CreateBucket":
            if bucket in self._buckets:
                raise ServiceError("BucketAlreadyOwnedByYou", f"the bucket {bucket} exists and is yours")
            self.create_bucket(bucket)
            return Reply(headers={"Location": f"/{bucket}"})
        if bucket not in self._buckets:
            raise ServiceError("NoSuchBucket", f"there is no bucket {bucket}")
        if operation == "HeadBucket":
            return Reply()
        if operation == "ListObjectsV2":
            return _xml(await self._list_objects(bucket, values))
        if operation == "PutObject":
            return self._put(bucket, key, headers, body)
        if operation == "DeleteObject":
            self._disk.delete("object", f"{bucket}/{key}")
            return Reply(status=204)
        found = await self._disk.get("object", f"{bucket}/{key}")
        if found is None:
            raise ServiceError("NoSuchKey", f"there is no object {key} in {bucket}")
        return Reply(found, headers={"Content-Type": "application/json", "ETag": _etag(found), "Last-Modified": _now()})

    def _put(self, bucket: str, key: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if "aws-chunked" in headers.get("Content-Encoding", "") or "x-amz-copy-source" in headers:
            raise ServiceError("NotImplemented", "only whole objects can be put: neither chunks nor copies")
        self.put(bucket, key, body)
        return Reply(headers={"ETag": _etag(body)})

    def _list_buckets(self) -> Element:
        root = Element("ListAllMyBucketsResult", xmlns=_S3)
        rows = SubElement(root, "Buckets")
        for name in sorted(self._buckets):
            row = SubElement(rows, "Bucket")
            SubElement(row, "Name").text = name
            SubElement(row, "CreationDate").text = iso(0)
        return root

    async def _list_objects(self, bucket: str, values: Mapping[str, str]) -> Element:
        if "location" in values:
            return Element("LocationConstraint", xmlns=_S3)
        start = f"{bucket}/"
        size = min(int(values.get("max-keys", _PAGE)), _PAGE)
        after = start + values.get("continuation-token", values.get("start-after", ""))
        rows = await self._disk.sizes("object", start + values.get("prefix", ""), after, size + 1)
        root = Element("ListBucketResult", xmlns=_S3)
        SubElement(root, "Name").text = bucket
        SubElement(root, "KeyCount").text = str(len(rows[:size]))
        SubElement(root, "IsTruncated").text = str(len(rows) > size).lower()
        for key, n_bytes in rows[:size]:
            row = SubElement(root, "Contents")
            SubElement(row, "Key").text = key.removeprefix(start)
            SubElement(row, "Size").text = str(n_bytes)
            SubElement(row, "LastModified").text = iso(0)
        if len(rows) > size:
            SubElement(root, "NextContinuationToken").text = rows[size - 1][0].removeprefix(start)
        return root


def caller_identity(body: bytes) -> tuple[str, Reply]:
    """STS: the operation, and who the caller is.

    Raises:
        ServiceError: another operation than GetCallerIdentity.
    """
    operation = parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
    if operation != "GetCallerIdentity":
        raise ServiceError("InvalidAction", f"STS: {operation} is not a part of this service")
    root = Element("GetCallerIdentityResponse", xmlns=_STS)
    result = SubElement(root, "GetCallerIdentityResult")
    SubElement(result, "Arn").text = f"arn:aws:iam::{ACCOUNT}:user/loopback"
    SubElement(result, "UserId").text = "LOOPBACK"
    SubElement(result, "Account").text = ACCOUNT
    return operation, _xml(root)


def error_reply(error: ServiceError, service: str) -> Reply:
    """An error as S3, STS and the other services that speak XML write it."""
    root = Element("Error" if service == "s3" else "ErrorResponse")
    inner = root if service == "s3" else SubElement(root, "Error")
    SubElement(inner, "Code").text = error.code
    SubElement(inner, "Message").text = error.message
    return _xml(root, error.status)


def _xml(root: Element, status: int = 200) -> Reply:
    return Reply(tostring(root, encoding="utf-8", xml_declaration=True), status)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _now() -> str:
    return formatdate(usegmt=True)
