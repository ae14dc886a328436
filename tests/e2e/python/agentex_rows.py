"""Every call of the public client `agentex-client`, unmodified.

Usage: agentex_rows.py GATEWAY_URL AGENT_NAME

Prints what it got as one JSON object: answers as plain data, errors as the name
of the exception and its status.
"""

import json
import queue
import sys
import threading

import agentex
from agentex import Agentex

TIMEOUT_SECONDS = 90


def main() -> None:
    url, agent_name = sys.argv[1:3]
    client = Agentex(base_url=url, api_key="unused", max_retries=0)
    output = {}
    for part in (agents, answers, silence, messages, events, tasks, without_counterpart):
        output[part.__name__] = part(client, agent_name)
    print(json.dumps(output))


def agents(client: Agentex, name: str) -> dict:
    agent = client.agents.retrieve_by_name(name)
    task = create(client, name)
    return {
        "same_by_id": client.agents.retrieve(agent.id).name == name,
        "one_page": len(client.agents.list(limit=1, page_number=1)),
        "of_task": [agent.name for agent in client.agents.list(task_id=task.id)],
    }


def answers(client: Agentex, name: str) -> dict:
    """message/send: a new task, the same one by name, and as a stream."""
    first = client.agents.send_message(agent_name=name, params={"task_name": "answers", "content": text("One")})
    second = client.agents.send_message(agent_name=name, params={"task_name": "answers", "content": text("Two")})
    updates = []
    for chunk in client.agents.send_message_stream(
        agent_name=name, params={"task_name": "answers", "content": text("Three")}
    ):
        updates.append(chunk.result)
    deltas = [update.delta.text_delta for update in updates if update.type == "delta"]
    return {
        "first": texts(first.result),
        "second": texts(second.result),
        "types": [update.type for update in updates if update.type != "delta"],
        "indexes": sorted({update.index for update in updates}),
        "deltas": "".join(deltas),
        "same_task": len({message.task_id for message in first.result + second.result}) == 1,
    }


def silence(client: Agentex, name: str) -> dict:
    """A stream that says nothing for 40 seconds in the middle of an answer."""
    task = create(client, name)
    frames: queue.Queue = queue.Queue()
    threading.Thread(target=read_stream, args=(client, task.id, frames), daemon=True).start()
    seen = [frames.get(timeout=TIMEOUT_SECONDS)]
    send(client, name, task.id, "be silent")
    while not answered(seen):
        seen.append(frames.get(timeout=TIMEOUT_SECONDS))
    deltas = [frame["delta"]["text_delta"] for frame in seen if frame["type"] == "delta"]
    errors = [frame for frame in seen if frame["type"] == "error"]
    return {"first": seen[0]["type"], "deltas": "".join(deltas), "errors": errors}


def messages(client: Agentex, name: str) -> dict:
    task = talk(client, name, ["One", "Two"])
    listed = client.messages.list(task_id=task.id, order_direction="asc")
    newest = client.messages.list_paginated(task_id=task.id, limit=3)
    older = client.messages.list_paginated(task_id=task.id, limit=3, cursor=newest.next_cursor)
    of_user = client.messages.list(task_id=task.id, filters=json.dumps([{"content": {"author": "user"}}]))
    retrieved = client.messages.retrieve(listed[1].id)
    return {
        "texts": texts(listed),
        "limited": len(client.messages.list(task_id=task.id, limit=1, page_number=2)),
        "pages": [len(newest.data), newest.has_more, len(older.data), older.has_more],
        "of_user": len(of_user),
        "retrieved": retrieved.content.content,
        "same_id": retrieved.id == listed[1].id,
    }


def events(client: Agentex, name: str) -> dict:
    task = talk(client, name, ["One", "Two"])
    agent = client.agents.retrieve_by_name(name)
    listed = client.events.list(task_id=task.id, agent_id=agent.id)
    rest = client.events.list(task_id=task.id, agent_id=agent.id, last_processed_event_id=listed[0].id, limit=10)
    return {
        "texts": [event.content.content for event in listed],
        "in_order": listed[0].sequence_id < listed[1].sequence_id,
        "rest": [event.id for event in rest] == [listed[1].id],
        "retrieved": client.events.retrieve(listed[0].id).content.content,
    }


def tasks(client: Agentex, name: str) -> dict:
    task = talk(client, name, ["One"])
    retrieved = client.tasks.retrieve(task.id, relationships=["agents"])
    changed = client.tasks.update_by_id(task.id, task_metadata={"label": "blue"})
    until(lambda: client.tasks.retrieve(task.id).task_metadata == {"label": "blue"})
    # A message is shown before its turn has ended, and a list follows a while later.
    until(lambda: client.tasks.query_workflow("state", task_id=task.id)["result"]["phase"] == "idle")
    state = client.tasks.query_workflow("state", task_id=task.id)
    raw = [line for line in first_lines(client, task.id)]
    running = {"agent_name": name, "status": "RUNNING", "relationships": ["agents"], "limit": 100}

    def is_listed() -> bool:
        return any(one.id == task.id for one in client.tasks.list(**running))

    until(is_listed)
    listed = is_listed()
    named = client.agents.create_task(agent_name=name, params={"name": "a name"}).result
    interrupted = client.agents.rpc_by_name(name, method="task/interrupt", params={"task_id": named.id})
    completed = client.tasks.complete(named.id, reason="done")
    canceled = client.agents.cancel_task(agent_name=name, params={"task_id": create(client, name).id}).result
    terminated = client.tasks.terminate(create(client, name).id, reason="stuck")
    by_id = client.tasks.cancel(create(client, name).id)
    erased = client.tasks.delete(task.id)
    return {
        "agents": [agent.name for agent in retrieved.agents],
        "changed": changed.task_metadata,
        "state": [state["query"], state["result"]["turn"], state["result"]["phase"]],
        "raw": raw,
        "listed": listed,
        "named": client.tasks.retrieve_by_name("a name").id == named.id,
        "interrupted": [interrupted.error, interrupted.result is not None],
        "ended": [one.status for one in (completed, canceled, terminated, by_id)],
        "erased": erased.id == task.id,
    }


def without_counterpart(client: Agentex, name: str) -> dict:
    task = create(client, name)
    agent = client.agents.retrieve_by_name(name)
    content = text("Hello")
    calls = {
        "messages.create": lambda: client.messages.create(task_id=task.id, content=content),
        "messages.update": lambda: client.messages.update("m", task_id=task.id, content=content),
        "messages.batch.create": lambda: client.messages.batch.create(task_id=task.id, contents=[content]),
        "messages.batch.update": lambda: client.messages.batch.update(task_id=task.id, updates={"m": content}),
        "spans.list": lambda: client.spans.list(),
        "spans.create": lambda: client.spans.create(name="s", start_time="2026-01-01T00:00:00Z", trace_id="t"),
        "spans.update": lambda: client.spans.update("s", name="t"),
        "states.list": lambda: client.states.list(task_id=task.id),
        "states.create": lambda: client.states.create(agent_id=agent.id, state={}, task_id=task.id),
        "states.update": lambda: client.states.update("s", state={}),
        "states.delete": lambda: client.states.delete("s"),
        "tracker.list": lambda: client.tracker.list(task_id=task.id),
        "tasks.fail": lambda: client.tasks.fail(task.id),
        "tasks.timeout": lambda: client.tasks.timeout(task.id),
        "agents.delete": lambda: client.agents.delete(agent.id),
        "events.list of another": lambda: client.events.list(task_id=task.id, agent_id="another"),
        "messages.retrieve of another": lambda: client.messages.retrieve("another.m"),
    }
    return {call: refused(run) for call, run in calls.items()}


def refused(call) -> list:
    try:
        call()
    except agentex.APIStatusError as error:
        return [type(error).__name__, error.status_code]
    return ["no error", 200]


def create(client: Agentex, name: str):
    return client.agents.create_task(agent_name=name, params={}).result


def send(client: Agentex, name: str, task_id: str, said: str) -> None:
    client.agents.send_event(agent_name=name, params={"task_id": task_id, "content": text(said)})


def talk(client: Agentex, name: str, said: list):
    """A task with these messages and their answers."""
    task = create(client, name)
    for number, one in enumerate(said, start=1):
        send(client, name, task.id, one)
        until(lambda: len(client.messages.list(task_id=task.id)) == 2 * number)
    return task


def until(is_so) -> None:
    """The answer is somewhere on its way: asks until it is there."""
    deadline = threading.Event()
    timer = threading.Timer(TIMEOUT_SECONDS, deadline.set)
    timer.start()
    try:
        while not is_so():
            if deadline.wait(0.05):
                raise TimeoutError("no answer in time")
    finally:
        timer.cancel()


def text(said: str) -> dict:
    return {"type": "text", "author": "user", "content": said}


def texts(messages: list) -> list:
    return [message.content.content for message in messages]


def read_stream(client: Agentex, task_id: str, frames: queue.Queue) -> None:
    try:
        for frame in client.tasks.stream_events(task_id):
            frames.put(frame if isinstance(frame, dict) else frame.model_dump(mode="json"))
    except Exception as error:  # whatever it is, the test sees it
        frames.put({"type": "error", "message": repr(error)})


def first_lines(client: Agentex, task_id: str) -> list:
    with client.tasks.with_streaming_response.stream_events(task_id) as response:
        for line in response.iter_lines():
            return [line.split(":", 1)[0]]
    return []


def answered(stream: list) -> bool:
    last = stream[-1]
    content = (last.get("parent_task_message") or {}).get("content") or {}
    return last["type"] == "error" or (last["type"] == "done" and content.get("author") == "agent")


if __name__ == "__main__":
    main()
