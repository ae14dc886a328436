"""A Temporal worker with the activities that tests use as tools.

It is an ordinary worker without any code of Steadfast. TASK_QUEUE is its task queue;
the activity `page` reads the file PAGES.
"""

import asyncio
import base64
import json
import os
import urllib.request
import uuid
from contextvars import ContextVar
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    UnsandboxedWorkflowRunner,
    Worker,
)


@activity.defn
async def nonce(arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns a new value in each execution, which proves that a reader has this very result."""
    return {"of": arguments["of"], "nonce": str(uuid.uuid4())}


@activity.defn
async def reverse(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"text": arguments["text"][::-1]}


@activity.defn
async def measure(arguments: dict[str, Any]) -> dict[str, Any]:
    """A result as Python writes it: with an integer of any size, and with a number that JSON does not have."""
    return {"id": arguments["id"] + 1, "mean": float("nan")}


@activity.defn
async def picture(arguments: dict[str, Any]) -> bytes:
    """A result that is no JSON."""
    return b"\x89PNG"


@activity.defn
async def page(arguments: dict[str, Any]) -> dict[str, Any]:
    """The page of the given number, of the given size."""
    number, size = arguments["number"], arguments["size"]
    with open(os.environ["PAGES"], encoding="utf-8") as file:
        text = file.read()
    return {"text": text[number * size : (number + 1) * size]}


@activity.defn
async def noise(arguments: dict[str, Any]) -> dict[str, Any]:
    """A text of the given length that nothing compresses below three quarters."""
    return {"text": base64.b64encode(os.urandom(arguments["bytes"] // 4 * 3)).decode()}


@activity.defn
async def fail(arguments: dict[str, Any]) -> None:
    raise ApplicationError(f"no such thing: {arguments['what']}", type="NoSuchThing", non_retryable=True)


@activity.defn
async def effect(arguments: dict[str, Any]) -> dict[str, Any]:
    """Records an effect in a ledger, unless the account is closed. The account `closing` is closed after one attempt."""
    closes = arguments["account"] == "closing" and activity.info().attempt > 1
    if arguments["account"] == "closed" or closes:
        raise ApplicationError("the account is closed", type="AccountClosed", non_retryable=True)
    body = {**arguments, "key": headers_of_call.get().get("idempotency-key")}
    request = urllib.request.Request(
        arguments["ledger"], data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=60).read())
    return {"done": arguments["what"], "amount": arguments["amount"]}


@activity.defn
async def hook(event: dict[str, Any]) -> dict[str, Any]:
    """Adds a message when an agent starts, replaces the message of a handoff, and hides the tool `secret`."""
    about = event["about"]
    if event["event"] == "AgentStarted":
        return {"messages": [f"{about['agent']} is here"]}
    if event["event"] == "Handoff":
        return {"messages": [f"{about['from']} makes way for {about['to']}"], "suppress": True}
    return {"suppress": about.get("tool") == "secret"}


@activity.defn
async def judge(check: dict[str, Any]) -> dict[str, Any]:
    """Trips if the text contains `password`."""
    return {"tripped": "password" in check["text"], "reason": f"a secret in the {check['stage']}"}


@activity.defn
async def context(arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the headers of its own call."""
    return headers_of_call.get()


@workflow.defn
class Greeting:
    """A workflow that is a tool."""

    @workflow.run
    async def run(self, arguments: dict[str, Any]) -> dict[str, Any]:
        task_id = workflow.payload_converter().from_payload(workflow.info().headers["context-task-id"])
        return {"greeting": f"Hello, {arguments['name']}.", "for_task": task_id}


headers_of_call: ContextVar[dict[str, Any]] = ContextVar("headers_of_call")


class ReadHeaders(Interceptor):
    """Decodes headers as the Agentex interceptor does: with the default converter."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return ReadHeadersOfActivity(next)


class ReadHeadersOfActivity(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        converter = activity.payload_converter()
        headers_of_call.set({name: converter.from_payload(payload) for name, payload in input.headers.items()})
        return await self.next.execute_activity(input)


async def main() -> None:
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], namespace=os.environ["TEMPORAL_NAMESPACE"])
    async with Worker(
        client,
        task_queue=os.environ["TASK_QUEUE"],
        workflows=[Greeting],
        workflow_runner=UnsandboxedWorkflowRunner(),
        activities=[nonce, reverse, measure, picture, page, noise, fail, effect, hook, judge, context],
        interceptors=[ReadHeaders()],
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
