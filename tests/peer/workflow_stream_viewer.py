"""Copies the streams of workflows to Redis, so that all contestants' logs are read in one way.

Reads workflow ids from the Redis stream `peer-watch`; appends what each workflow publishes to `peer:<workflow id>`.
It stands where a gateway would: its CPU is not counted as the worker's.
"""

import asyncio
import json
import os

import redis.asyncio as redis
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.contrib.workflow_streams import WorkflowStreamClient

WATCHED = "peer-watch"


async def copy(client: Client, log: redis.Redis, workflow_id: str) -> None:
    stream = WorkflowStreamClient.create(client, workflow_id)
    async for item in stream.subscribe("events"):
        event = item.data
        kind = event.get("type")
        if kind == "response.output_text.delta":
            await log.xadd(f"peer:{workflow_id}", {"event": json.dumps({"type": kind, "text": event["delta"]})})
        elif kind == "turn_ended":
            await log.xadd(f"peer:{workflow_id}", {"event": json.dumps({"type": kind})})
            return


async def main() -> None:
    log = redis.from_url(os.environ["REDIS_URL"])
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter)
    last, copies = "$", set()
    while True:
        for _, entries in await log.xread({WATCHED: last}, block=1000):
            for entry_id, fields in entries:
                last = entry_id
                task = asyncio.create_task(copy(client, log, fields[b"id"].decode()))
                copies.add(task)
                task.add_done_callback(copies.discard)


if __name__ == "__main__":
    asyncio.run(main())
