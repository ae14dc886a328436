"""Serves the Temporal activity `place_order` on the task queue `purchasing-tools`.

It runs only after a person has approved the call. The worker does not know approvals.
"""

import asyncio
import logging
import os
import signal
import uuid
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

TASK_QUEUE = "purchasing-tools"

log = logging.getLogger("purchasing")


@activity.defn(name="place_order")
async def place_order(arguments: dict[str, Any]) -> dict[str, Any]:
    order = {"order_id": f"O-{uuid.uuid4().hex[:8]}", "item": arguments["item"], "quantity": arguments["quantity"]}
    log.info("ordered %s", order)
    return order


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    address = os.environ["TEMPORAL_ADDRESS"]
    namespace = os.environ.get("TEMPORAL_NAMESPACE", "default")

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)

    client = await Client.connect(address, namespace=namespace)
    async with Worker(client, task_queue=TASK_QUEUE, activities=[place_order]):
        log.info("serving place_order on task queue %s of %s", TASK_QUEUE, address)
        await stop.wait()
    log.info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
