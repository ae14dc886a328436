"""One conversation through the public client `agentex-client`, unmodified.

Usage: conversation.py GATEWAY_URL AGENT_NAME TEXT [TOKEN]

Works like any program for Agentex: finds the agent, creates a task, opens its
stream, sends an event, reads frames until the agent has answered, and reads the
messages. Prints everything as one JSON object.
"""

import json
import queue
import sys
import threading

from agentex import Agentex

TIMEOUT_SECONDS = 60


def main() -> None:
    url, agent_name, text = sys.argv[1:4]
    token = sys.argv[4] if len(sys.argv) > 4 else "unused"
    client = Agentex(base_url=url, api_key=token, max_retries=0)

    # The stack of the tests has more agents than a page has by itself.
    agents = client.agents.list(limit=1000)
    agent = client.agents.retrieve_by_name(agent_name)
    task = client.agents.create_task(agent_name=agent_name, params={"name": f"{agent_name} by agentex-client"}).result
    again = client.agents.create_task(agent_name=agent_name, params={"name": f"{agent_name} by agentex-client"}).result

    # The protocol requires to open the stream first and to wait for `connected`.
    frames: queue.Queue = queue.Queue()
    threading.Thread(target=read_stream, args=(client, task.id, frames), daemon=True).start()
    stream = [frames.get(timeout=TIMEOUT_SECONDS)]

    content = {"type": "text", "author": "user", "content": text}
    event = client.agents.send_event(agent_name=agent_name, params={"task_id": task.id, "content": content}).result

    while not answered(stream):
        stream.append(frames.get(timeout=TIMEOUT_SECONDS))

    messages = client.messages.list(task_id=task.id, order_direction="asc")
    print(
        json.dumps(
            {
                "agent_names": [agent.name for agent in agents],
                "agent": plain(agent),
                "task": plain(task),
                "same_task_for_same_name": again.id == task.id,
                "event": plain(event),
                "stream": stream,
                "messages": [plain(message) for message in messages],
                "task_by_id": plain(client.tasks.retrieve(task.id)),
            }
        )
    )


def read_stream(client: Agentex, task_id: str, frames: queue.Queue) -> None:
    for frame in client.tasks.stream_events(task_id):
        frames.put(frame if isinstance(frame, dict) else plain(frame))


def answered(stream: list) -> bool:
    """The agent's text is complete: a `done` for a text that is the agent's."""
    last = stream[-1]
    content = (last.get("parent_task_message") or {}).get("content") or {}
    return last["type"] == "done" and content.get("type") == "text" and content.get("author") == "agent"


def plain(model) -> dict:
    return model.model_dump(mode="json")


if __name__ == "__main__":
    main()
