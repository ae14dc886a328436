"""Serves the Temporal activity `get_weather` on the task queue `weather-tools`.

This is an ordinary Temporal worker. It does not know Steadfast, models or
Kubernetes. The only connection is an AgentTool that names the activity and the
task queue.
"""

import asyncio
import logging
import os
import signal
import uuid
from datetime import datetime, timezone
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    Worker,
)

TASK_QUEUE = "weather-tools"
TASK_ID_HEADER = "context-task-id"

log = logging.getLogger("weather")

STATIONS: dict[str, dict[str, Any]] = {
    "lisbon": {"temperature_celsius": 24, "conditions": "sunny", "wind_kph": 14},
    "london": {"temperature_celsius": 11, "conditions": "overcast", "wind_kph": 19},
    "nairobi": {"temperature_celsius": 22, "conditions": "partly cloudy", "wind_kph": 9},
    "oslo": {"temperature_celsius": 7, "conditions": "light rain", "wind_kph": 21},
    "singapore": {"temperature_celsius": 31, "conditions": "thunderstorms", "wind_kph": 12},
}


@activity.defn(name="get_weather")
async def get_weather(arguments: dict[str, Any]) -> dict[str, Any]:
    """Receives the arguments of the tool as one object and returns one object.

    The nonce is different in every execution. A nonce in an answer proves that
    the activity ran. The same nonce after a crash proves that it did not run
    twice.
    """
    city = str(arguments.get("city", "")).strip()
    report = STATIONS.get(city.lower())
    if report is None:
        # A retry cannot succeed. The model receives this text and can tell the user.
        raise ApplicationError(f"no weather station in {city!r}", type="UnknownCity", non_retryable=True)
    return {
        "city": city,
        **report,
        "observed_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "nonce": str(uuid.uuid4()),
    }


class LogTaskId(Interceptor):
    """Logs the task of each activity. Steadfast sends the task id as a header."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return LogTaskIdOfActivity(next)


class LogTaskIdOfActivity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        payload = input.headers.get(TASK_ID_HEADER)
        task_id = activity.payload_converter().from_payload(payload, str) if payload else "(none)"
        log.info("activity %s attempt %d for task %s", info.activity_type, info.attempt, task_id)
        return await self.next.execute_activity(input)


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    address = os.environ["TEMPORAL_ADDRESS"]
    namespace = os.environ.get("TEMPORAL_NAMESPACE", "default")

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)

    client = await Client.connect(address, namespace=namespace)
    async with Worker(client, task_queue=TASK_QUEUE, activities=[get_weather], interceptors=[LogTaskId()]):
        log.info("serving get_weather on task queue %s of %s", TASK_QUEUE, address)
        await stop.wait()
    log.info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
