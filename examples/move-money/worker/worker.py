"""Serves the activities `withdraw_money` and `deposit_money` on the task queue `bank-tools`.

The activities do not know each other: the AgentTool defines their order and the
compensation. Each activity reports its action to the ledger with the idempotency
key of Steadfast, which is the same for all attempts of a step and different for
every step.
"""

import asyncio
import json
import logging
import os
import signal
import urllib.request
from contextvars import ContextVar
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

TASK_QUEUE = "bank-tools"
KEY_HEADER = "idempotency-key"
# An account that accepts no deposits.
CLOSED = "closed"
LEDGER_TIMEOUT_SECONDS = 5

log = logging.getLogger("bank")
idempotency_key: ContextVar[str] = ContextVar("idempotency_key", default="")


@activity.defn(name="withdraw_money")
async def withdraw_money(arguments: dict[str, Any]) -> dict[str, Any]:
    return await book("withdraw", arguments)


@activity.defn(name="deposit_money")
async def deposit_money(arguments: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(float(os.environ.get("DEPOSIT_DELAY_SECONDS", "0")))
    account = arguments["account"]
    if account == CLOSED:
        # A retry cannot succeed. The earlier steps are undone, and the model is told.
        raise ApplicationError(f"account {account!r} is closed", type="AccountClosed", non_retryable=True)
    return await book("deposit", arguments)


async def book(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Moves the money. In this example, it reports to the ledger only."""
    effect = {
        "kind": kind,
        "account": arguments["account"],
        "amount": arguments["amount"],
        "key": idempotency_key.get(),
    }
    return await asyncio.to_thread(post, f"{os.environ['LEDGER_URL']}/effects", effect)


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=LEDGER_TIMEOUT_SECONDS) as response:
        return json.load(response)


class ReadKey(Interceptor):
    """Reads the idempotency key from the header that Steadfast sends."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return ReadKeyOfActivity(next)


class ReadKeyOfActivity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        payload = input.headers.get(KEY_HEADER)
        key = activity.payload_converter().from_payload(payload, str) if payload else ""
        idempotency_key.set(key)
        info = activity.info()
        log.info("activity %s attempt %d key %s", info.activity_type, info.attempt, key)
        return await self.next.execute_activity(input)


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    address = os.environ["TEMPORAL_ADDRESS"]
    namespace = os.environ.get("TEMPORAL_NAMESPACE", "default")

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)

    client = await Client.connect(address, namespace=namespace)
    activities = [withdraw_money, deposit_money]
    async with Worker(client, task_queue=TASK_QUEUE, activities=activities, interceptors=[ReadKey()]):
        log.info("serving withdraw_money and deposit_money on task queue %s of %s", TASK_QUEUE, address)
        await stop.wait()
    log.info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
