"""A2A 1.0 through the public client `a2a-sdk`, unmodified and with its default timeouts.

Usage: a2a_client.py GATEWAY_URL NAMESPACE AGENT_NAME

Finds the agent by its card, and then does the same in both bindings: a message that waits for its task, a stream with
20 s of silence in it, a stream that is cut and subscribed to again, questions that are approved and rejected, a
cancellation, a list, and errors. Prints what it got as one JSON object.
"""

import asyncio
import json
import sys
import uuid

import httpx
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.types import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import A2AError
from google.protobuf.json_format import MessageToDict, ParseDict

SETTLED = {"COMPLETED", "FAILED", "CANCELED", "REJECTED", "INPUT_REQUIRED"}


async def main() -> None:
    url, namespace, name = sys.argv[1:4]
    async with httpx.AsyncClient() as http:
        card = await A2ACardResolver(http, f"{url}/a2a/{namespace}/{name}").get_agent_card()
    rpc, rest = await asyncio.gather(binding(card, "JSONRPC"), binding(card, "HTTP+JSON"))
    print(
        json.dumps(
            {
                "card": {
                    "name": card.name,
                    "bindings": [interface.protocol_binding for interface in card.supported_interfaces],
                    "streaming": card.capabilities.streaming,
                    "push": card.capabilities.push_notifications,
                },
                "rpc": rpc,
                "http": rest,
            }
        )
    )


async def binding(card: AgentCard, name: str) -> dict:
    def client(**config) -> Client:
        return ClientFactory(
            ClientConfig(supported_protocol_bindings=[name], use_client_preference=True, **config)
        ).create(card)

    streaming, waiting = client(), client(streaming=False)
    async with streaming, waiting:
        silent, others = await asyncio.gather(silence(streaming), all_others(streaming, waiting))
    return {"silence": silent, **others}


async def all_others(streaming: Client, waiting: Client) -> dict:
    return {
        "whole": await whole(waiting),
        "resumed": await resumed(streaming),
        "approved": await decided(streaming, "approve"),
        "rejected": await decided(streaming, {"decision": "reject", "reason": "not today"}),
        "canceled": await canceled(streaming),
        "listed": await listed(streaming, waiting),
        "files": await files(waiting),
        "errors": await errors(waiting),
    }


def message(text: str | dict, task: Task | None = None, context_id: str = "") -> SendMessageRequest:
    part = Part(text=text) if isinstance(text, str) else ParseDict({"data": text}, Part())
    return SendMessageRequest(
        message=Message(
            message_id=str(uuid.uuid4()),
            role=Role.ROLE_USER,
            parts=[part],
            task_id=task.id if task else "",
            context_id=task.context_id if task else context_id,
        )
    )


def state(task: Task) -> str:
    return TaskState.Name(task.status.state).removeprefix("TASK_STATE_")


class Seen:
    """What a viewer of a stream has at the end of it: the task, its artifacts by their chunks, and its states."""

    def __init__(self) -> None:
        self.task = Task()
        self.texts: dict[str, str] = {}
        self.states: list[str] = []
        self.chunks = 0

    def take(self, event: StreamResponse) -> None:
        if event.HasField("task"):
            self.task = event.task
            self.states.append(state(event.task))
            self.texts = {
                artifact.artifact_id: "".join(part.text for part in artifact.parts) for artifact in event.task.artifacts
            }
        elif event.HasField("status_update"):
            self.task.status.CopyFrom(event.status_update.status)
            self.states.append(state(self.task))
        elif event.HasField("artifact_update"):
            update = event.artifact_update
            text = "".join(part.text for part in update.artifact.parts)
            before = self.texts.get(update.artifact.artifact_id, "") if update.append else ""
            self.texts[update.artifact.artifact_id] = before + text
            self.chunks += bool(text)

    def text(self) -> str:
        return " | ".join(text for text in self.texts.values() if text)


async def watch(events, seen: Seen, until=None) -> Seen:
    async for event in events:
        seen.take(event)
        if until and until(seen):
            break
    return seen


def text_of(task: Task) -> str:
    return " | ".join("".join(part.text for part in artifact.parts) for artifact in task.artifacts)


async def silence(client: Client) -> dict:
    """The default client gives up after 5 s without a byte."""
    seen = await watch(client.send_message(message("a long silence")), Seen())
    return {"text": seen.text(), "states": seen.states, "chunks": seen.chunks}


async def whole(client: Client) -> dict:
    """The first answer takes longer than the client waits for a byte."""
    answers = [event.task async for event in client.send_message(message("wait for it"))]
    task = answers[0]
    follow = [event.task async for event in client.send_message(message("Two", context_id=task.context_id))]
    again = await client.get_task(GetTaskRequest(id=follow[0].id, history_length=1))
    return {
        "states": [state(task), state(follow[0])],
        "texts": [text_of(task), text_of(follow[0])],
        "same_context": follow[0].context_id == task.context_id and follow[0].id != task.id,
        "same_later": text_of(again) == text_of(follow[0]),
        "history": [part.text for said in again.history for part in said.parts],
    }


async def resumed(client: Client) -> dict:
    """The stream is cut in mid-answer; the subscription begins with the task as it is."""
    seen = await watch(client.send_message(message("slowly, please")), Seen(), lambda seen: seen.chunks == 3)
    seen = await watch(client.subscribe(SubscribeToTaskRequest(id=seen.task.id)), seen)
    task = await client.get_task(GetTaskRequest(id=seen.task.id))
    return {"streamed": seen.text(), "whole": text_of(task), "state": state(task)}


async def decided(client: Client, answer: str | dict) -> dict:
    asking = await watch(client.send_message(message("pay for tea")), Seen())
    question = asking.task.status.message
    asked = MessageToDict(question.parts[1].data)
    after = await watch(client.send_message(message(answer, asking.task)), Seen())
    return {
        "asked": [asking.states[-1], asked["tool"], asked["arguments"]],
        "same_task": after.task.id == asking.task.id,
        "state": after.states[-1],
        "text": after.text(),
    }


async def canceled(client: Client) -> list[str]:
    seen = await watch(client.send_message(message("endlessly")), Seen(), lambda seen: seen.chunks > 0)
    task = await client.cancel_task(CancelTaskRequest(id=seen.task.id))
    later = await client.get_task(GetTaskRequest(id=seen.task.id))
    return [state(task), state(later)]


async def listed(streaming: Client, waiting: Client) -> dict:
    context = str(uuid.uuid4())
    for number in range(3):
        async for _ in waiting.send_message(message(f"Number {number}", context_id=context)):
            pass
    pages, token = [], ""
    while True:
        page = await streaming.list_tasks(
            ListTasksRequest(context_id=context, page_size=2, page_token=token, include_artifacts=True)
        )
        pages.append([text_of(task) for task in page.tasks])
        token = page.next_page_token
        if not token:
            break
    working = await streaming.list_tasks(ListTasksRequest(context_id=context, status=TaskState.TASK_STATE_WORKING))
    return {"pages": pages, "total": page.total_size, "working": len(working.tasks)}


async def files(client: Client) -> dict:
    """A message with a file of bytes and the URL of an image; the history shows both."""
    request = message("See:")
    request.message.parts.append(Part(raw=b"tea", filename="a.txt", media_type="text/plain"))
    request.message.parts.append(Part(url="https://example.com/a.png", media_type="image/png"))
    task = [event.task async for event in client.send_message(request)][0]
    parts = [MessageToDict(part) for part in task.history[0].parts]
    return {"text": text_of(task), "parts": parts}


async def errors(client: Client) -> dict:
    async def error(call) -> str:
        try:
            await call
        except A2AError as error:
            return type(error).__name__
        return ""

    async def sent(request: SendMessageRequest) -> Task:
        return [event.task async for event in client.send_message(request)][0]

    ended = await sent(message("One"))
    push = TaskPushNotificationConfig(url="https://example.com", task_id=ended.id)
    file = message("One")
    file.message.parts.append(Part(raw=b"\x00\x01\x02\x03", filename="a.bin", media_type="application/octet-stream"))
    pushed = message("One")
    pushed.configuration.CopyFrom(SendMessageConfiguration(task_push_notification_config=push))
    return {
        "unknown": await error(client.get_task(GetTaskRequest(id="nothing"))),
        "ended": await error(sent(message("More", ended))),
        "cancel": await error(client.cancel_task(CancelTaskRequest(id=ended.id))),
        "push": await error(client.create_task_push_notification_config(push)),
        "pushed": await error(sent(pushed)),
        "file": await error(sent(file)),
    }


if __name__ == "__main__":
    asyncio.run(main())
