"""An S3 server for the tests: moto's, in a process of its own on loopback."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flows.served import HOST, responds
from flows.servers import free_port

BUCKET = "dconrec"
SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
ThreadedMotoServer(ip_address=sys.argv[1], port=int(sys.argv[2]), verbose=False).start()
time.sleep(1e9)
"""


@contextmanager
def running(secret: str) -> Iterator[dict[str, str]]:
    """Start it with one bucket; the settings under which clients find it. Ends with the block."""
    address = f"http://{HOST}:{free_port(0)}"
    settings = {
        "AWS_ACCESS_KEY_ID": "dconrec",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "MLFLOW_S3_ENDPOINT_URL": address,
    }
    port = address.rpartition(":")[2]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, HOST, port], env=os.environ | settings, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not responds(f"{address}/moto-api/"):
            assert process.poll() is None, "moto has ended"
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.2)
        client(settings).create_bucket(Bucket=BUCKET)
        yield settings
    finally:
        process.kill()
        process.wait()


def client(settings: dict[str, str]):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        region_name=settings["AWS_DEFAULT_REGION"],
    )


def keys(settings: dict[str, str], prefix: str) -> set[str]:
    """What lies below a prefix."""
    listed = client(settings).list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {entry["Key"] for entry in listed}
