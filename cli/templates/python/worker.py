"""Serves the Temporal activity `roll_dice` on the task queue `AGENT_NAME-tools`.

An ordinary Temporal worker: it does not know Steadfast. The AgentTool `roll-dice`
names the activity and the task queue.
"""

import asyncio
import os
import random
import signal
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

TASK_QUEUE = "AGENT_NAME-tools"


@activity.defn(name="roll_dice")
async def roll_dice(arguments: dict[str, Any]) -> dict[str, Any]:
    dice = [random.randint(1, arguments["sides"]) for _ in range(arguments["count"])]
    return {"dice": dice, "sum": sum(dice)}


async def main() -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    client = await Client.connect(
        os.environ["TEMPORAL_ADDRESS"], namespace=os.environ.get("TEMPORAL_NAMESPACE", "default")
    )
    async with Worker(client, task_queue=TASK_QUEUE, activities=[roll_dice]):
        print(f"serving roll_dice on {TASK_QUEUE}")
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
