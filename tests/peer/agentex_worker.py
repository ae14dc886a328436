"""Agentex's own worker, with the workflow that its template for the OpenAI Agents SDK generates.

Measured by `cargo xtask bench peer`. Left out of the template: the welcome message, and the export of traces to a
hosted service. Its log is the Redis stream `task:<task id>`.
"""

import asyncio
import os
import random
import string
import typing
from datetime import timedelta

import typing_extensions

# agentex-sdk 0.12.0 supports Python 3.11 by its metadata, but imports this name, which Python has since 3.12.
if not hasattr(typing, "override"):
    typing.override = typing_extensions.override

from agentex.lib import adk  # noqa: E402
from agentex.lib.core.temporal.activities import get_all_activities  # noqa: E402
from agentex.lib.core.temporal.plugins.openai_agents.hooks.activities import stream_lifecycle_content  # noqa: E402
from agentex.lib.core.temporal.plugins.openai_agents.hooks.hooks import TemporalStreamingHooks  # noqa: E402
from agentex.lib.core.temporal.plugins.openai_agents.interceptors.context_interceptor import (  # noqa: E402
    ContextInterceptor,
)
from agentex.lib.core.temporal.plugins.openai_agents.models.temporal_streaming_model import (  # noqa: E402
    TemporalStreamingModelProvider,
)
from agentex.lib.core.temporal.types.workflow import SignalName  # noqa: E402
from agentex.lib.core.temporal.workers.worker import AgentexWorker  # noqa: E402
from agentex.lib.core.temporal.workflows.workflow import BaseWorkflow  # noqa: E402
from agentex.protocol.acp import CreateTaskParams, SendEventParams  # noqa: E402
from agents import Agent, Runner, set_tracing_disabled  # noqa: E402
from temporalio import activity, workflow  # noqa: E402
from temporalio.contrib import openai_agents  # noqa: E402
from temporalio.contrib.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin  # noqa: E402


@activity.defn
async def look_up(of: str, size: int) -> str:
    """Looks something up."""
    return "".join(random.Random(of).choices(string.ascii_lowercase + " ", k=size))


@workflow.defn(name="PeerAgentex")
class PeerAgentex(BaseWorkflow):
    def __init__(self) -> None:
        super().__init__(display_name="peer")
        self._conversation: list = []
        self._turn = 0
        self._task_id = None
        self._trace_id = None
        self._parent_span_id = None

    @workflow.signal(name=SignalName.RECEIVE_EVENT)
    async def on_task_event_send(self, params: SendEventParams) -> None:
        self._turn += 1
        self._task_id = params.task.id
        self._trace_id = params.task.id
        self._parent_span_id = params.task.id
        self._conversation.append({"role": "user", "content": params.event.content.content})
        await adk.messages.create(task_id=params.task.id, content=params.event.content)
        hooks = TemporalStreamingHooks(task_id=params.task.id)
        async with adk.tracing.span(trace_id=params.task.id, name=f"Turn {self._turn}") as span:
            if span:
                self._parent_span_id = span.id
            agent = Agent(
                name="peer",
                instructions="You are a test.",
                model="scripted",
                tools=[
                    openai_agents.workflow.activity_as_tool(look_up, start_to_close_timeout=timedelta(minutes=5)),
                ],
            )
            result = await Runner.run(agent, self._conversation, hooks=hooks, max_turns=10_000)
            self._conversation = result.to_input_list()

    @workflow.run
    async def on_task_create(self, params: CreateTaskParams) -> str:
        await workflow.wait_condition(lambda: False)
        return "Task completed"


async def main() -> None:
    set_tracing_disabled(True)
    plugin = OpenAIAgentsPlugin(
        model_params=ModelActivityParameters(start_to_close_timeout=timedelta(days=1)),
        model_provider=TemporalStreamingModelProvider(),
    )
    worker = AgentexWorker(
        task_queue=os.environ["WORKFLOW_TASK_QUEUE"], plugins=[plugin], interceptors=[ContextInterceptor()]
    )
    await worker.run(activities=[*get_all_activities(), stream_lifecycle_content, look_up], workflow=PeerAgentex)


if __name__ == "__main__":
    asyncio.run(main())
