"""A worker with `temporalio-openai-agents`, whose tokens travel through the workflow's own stream.

Measured by `cargo xtask bench peer`. The workflow holds the log: each batch of tokens is a signal to it, and who
wants to read it polls with updates, as `workflow_stream_viewer.py` does.
"""

import asyncio
import os
import random
import string
from datetime import timedelta

from agents import Agent, Runner, set_tracing_disabled
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.workflow_streams import WorkflowStream
from temporalio.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
from temporalio.openai_agents import workflow as agents_workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

TOPIC = "events"


@activity.defn
async def look_up(of: str, size: int) -> str:
    """Looks something up."""
    return "".join(random.Random(of).choices(string.ascii_lowercase + " ", k=size))


@workflow.defn(name="PeerAgent")
class PeerAgent:
    @workflow.init
    def __init__(self, _task_id: str) -> None:
        self.messages: list[str] = []
        self.stream = WorkflowStream()

    @workflow.run
    async def run(self, _task_id: str) -> None:
        agent = Agent(
            name="peer",
            instructions="You are a test.",
            model="scripted",
            tools=[agents_workflow.activity_as_tool(look_up, start_to_close_timeout=timedelta(seconds=30))],
        )
        conversation: list = []
        while True:
            await workflow.wait_condition(lambda: bool(self.messages))
            conversation.append({"role": "user", "content": self.messages.pop(0)})
            result = Runner.run_streamed(agent, conversation, max_turns=10_000)
            async for _ in result.stream_events():
                pass
            conversation = result.to_input_list()
            self.stream.topic(TOPIC).publish({"type": "turn_ended"})

    @workflow.signal
    async def receive_event(self, text: str) -> None:
        self.messages.append(text)


async def main() -> None:
    set_tracing_disabled(True)
    plugin = OpenAIAgentsPlugin(model_params=ModelActivityParameters(streaming_topic=TOPIC))
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], plugins=[plugin])
    async with Worker(
        client,
        task_queue=os.environ["TASK_QUEUE"],
        workflows=[PeerAgent],
        activities=[look_up],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
