"""How a bucket of an S3-compatible store is spoken to: django-storages' settings for it.

Not a stage. Credentials come from where boto3 looks; they are never ours to keep.
"""

from typing import Any

from botocore.config import Config


def storage(name: str, endpoint: str, region: str) -> dict[str, Any]:
    """An entry of Django's STORAGES for the bucket `name` at `endpoint`, an http(s) origin."""
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": name,
            "endpoint_url": endpoint,
            "region_name": region,
            "default_acl": None,
            "file_overwrite": True,  # the same name is the same bytes
            "max_memory_size": 0,  # never rolled over into a temporary file
            "client_config": Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},  # what every compatible store understands
                # Newer checksums of Amazon's are not everywhere; we hash what comes back ourselves.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=5,
                read_timeout=60,
                retries={"max_attempts": 2},
                proxies={},
            ),
        },
    }
