"""The leanest worker in Python: Temporal's plugin for the OpenAI Agents SDK, unsandboxed, one XADD per token.

Measured by `cargo xtask bench peer`. A task is a workflow that waits for messages, as a conversation does. Its log
is the Redis stream `peer:<workflow id>`, with one field `event`.
"""

import asyncio
import json
import os
import random
import string
from datetime import timedelta

import redis.asyncio as redis
from agents import Agent, Model, ModelProvider, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.models.openai_responses import OpenAIResponsesModel
from openai import AsyncOpenAI
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib import openai_agents
from temporalio.contrib.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

TASK_QUEUE = os.environ["TASK_QUEUE"]


class StreamingModel(Model):
    """Appends each token to the log, and the end of the turn after an answer without a call."""

    def __init__(self, model: Model, log: redis.Redis) -> None:
        self.model = model
        self.log = log

    async def get_response(self, *arguments, **named) -> ModelResponse:
        key = f"peer:{activity.info().workflow_id}"
        response = None
        async for event in self.model.stream_response(*arguments, **named):
            if event.type == "response.output_text.delta":
                await self.append(key, {"type": "message_delta", "text": event.delta})
            elif event.type == "response.completed":
                response = event.response
        if response is None:
            raise RuntimeError("the stream ended without response.completed")
        if all(item.type != "function_call" for item in response.output):
            await self.append(key, {"type": "turn_ended"})
        usage = Usage(
            requests=1,
            input_tokens=response.usage.input_tokens,
            output_tokens=response.usage.output_tokens,
            total_tokens=response.usage.total_tokens,
        )
        return ModelResponse(output=response.output, usage=usage, response_id=response.id)

    async def append(self, key: str, event: dict) -> None:
        await self.log.xadd(key, {"event": json.dumps(event)})

    def stream_response(self, *arguments, **named):
        raise NotImplementedError("the plugin calls get_response")


class StreamingModels(ModelProvider):
    def __init__(self, log: redis.Redis) -> None:
        self.client = AsyncOpenAI(max_retries=0)
        self.log = log

    def get_model(self, model_name: str | None) -> Model:
        model = OpenAIResponsesModel(model=model_name or "scripted", openai_client=self.client)
        return StreamingModel(model, self.log)


@activity.defn
async def look_up(of: str, size: int) -> str:
    """Looks something up."""
    return "".join(random.Random(of).choices(string.ascii_lowercase + " ", k=size))


@workflow.defn(name="PeerAgent")
class PeerAgent:
    def __init__(self) -> None:
        self.messages: list[str] = []

    @workflow.run
    async def run(self, _task_id: str) -> None:
        agent = Agent(
            name="peer",
            instructions="You are a test.",
            model="scripted",
            tools=[openai_agents.workflow.activity_as_tool(look_up, start_to_close_timeout=timedelta(seconds=30))],
        )
        conversation: list = []
        while True:
            await workflow.wait_condition(lambda: bool(self.messages))
            conversation.append({"role": "user", "content": self.messages.pop(0)})
            result = await Runner.run(agent, conversation, max_turns=10_000)
            conversation = result.to_input_list()

    @workflow.signal
    def receive_event(self, text: str) -> None:
        self.messages.append(text)


async def main() -> None:
    set_tracing_disabled(True)
    log = redis.from_url(os.environ["REDIS_URL"])
    plugin = OpenAIAgentsPlugin(model_params=ModelActivityParameters(), model_provider=StreamingModels(log))
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], plugins=[plugin])
    async with Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[PeerAgent],
        activities=[look_up],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
