"""OpenAI's Agents API through the public client `openai`, unmodified.

Usage: openai_agents.py GATEWAY_URL AGENT_NAME

Works like any program for `client.beta.agents`: agents, sessions, streams and their helpers, an approval, a function
of the client, cancelling, lists, and what is refused. The client makes an exception of each field that is missing or
wrong. Prints what it got as one JSON object.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import openai
from openai import OpenAI

NONE = {"type": "none"}


def main() -> None:
    url, agent = sys.argv[1:3]
    client = OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, _strict_response_validation=True)
    with ThreadPoolExecutor() as pool:
        silent = pool.submit(silence, client, agent)
        output = {
            "agents": agents(client, agent),
            "created": created(client, agent),
            "polled": polled(client, agent),
            "helper": helper(client, agent),
            "asked": asked(client, agent),
            "undecided": undecided(client, agent),
            "rejected": rejected(client, agent),
            "repeated": repeated(client, agent),
            "failed": failed(client, agent),
            "canceled": canceled(client, agent),
            "busy": busy(client, agent),
            "resumed": resumed(client, agent),
            "lists": lists(client, agent),
            "errors": errors(client, agent),
            "silence": silent.result(),
        }
    print(json.dumps(output))


def new_session(client: OpenAI, agent: str, **more):
    return client.beta.agents.sessions.create(environment=NONE, agent_id=agent, **more)


def until_idle(client: OpenAI, session_id: str) -> None:
    while client.beta.agents.sessions.retrieve(session_id).status != "idle":
        pass


def silence(client: OpenAI, agent: str) -> str:
    """A stream that says nothing in mid-answer, for longer than its keep-alives."""
    session = new_session(client, agent)
    with client.beta.agents.sessions.stream(session.id, input="be silent") as stream:
        return stream.get_final_result().output_text


def agents(client: OpenAI, agent: str) -> dict:
    listed = [found.name for found in client.beta.agents.list(limit=1)]
    by_name = client.beta.agents.retrieve(agent)
    by_id = client.beta.agents.retrieve(by_name.id)
    return {"listed": listed, "name": by_id.name, "same": by_id.id == by_name.id}


def created(client: OpenAI, agent: str) -> dict:
    types, deltas = [], []
    with client.beta.agents.sessions.create(
        environment=NONE, agent_id=agent, input="One", stream=True, metadata={"k": "v"}
    ) as stream:
        for event in stream:
            types.append(event.type)
            if event.type == "agent.session.turn.output_text.delta":
                deltas.append(event.delta)
    return {"first": types[0], "last": types[-1], "deltas": "".join(deltas)}


def polled(client: OpenAI, agent: str) -> dict:
    session = client.beta.agents.sessions.create(environment=NONE, agent_id=agent, input="One")
    first = session.status
    while session.status == "in_progress":
        session = client.beta.agents.sessions.retrieve(session.id)
    items = list(client.beta.agents.sessions.items.list(session.id, order="asc"))
    turns = list(client.beta.agents.sessions.turns.list(session.id))
    of_turn = list(client.beta.agents.sessions.turns.items.list(turns[0].id, session_id=session.id, limit=1))
    return {
        "first": first,
        "last": session.status,
        "texts": [item.content[0].text for item in items],
        "turns": [turn.status for turn in turns],
        "items_of_turn": len(of_turn),
    }


def helper(client: OpenAI, agent: str) -> list:
    session = client.beta.agents.sessions.create(environment=NONE, agent_id=agent)
    texts = []
    for number in range(5):
        with client.beta.agents.sessions.stream(session.id, input=f"Number {number}") as stream:
            texts.append(stream.get_final_result().output_text)
    return texts


def asked(client: OpenAI, agent: str) -> dict:
    """A question of the agent is a function of the client; a call that needs leave is an approval."""
    session = client.beta.agents.sessions.create(environment=NONE, agent_id=agent)
    arguments = []

    def answer(asked: dict) -> str:
        arguments.append(asked)
        return "certainly"

    with client.beta.agents.sessions.stream(
        session.id, input="ask a person", tool_handlers={"ask": answer}
    ) as stream:
        answered = stream.get_final_result().output_text

    decided = []
    for decision in ["approve", "deny"]:
        session = client.beta.agents.sessions.create(environment=NONE, agent_id=agent)
        text = ""
        with client.beta.agents.sessions.stream(session.id, input="look it up") as stream:
            for event in stream:
                if event.type == "agent.session.requires_action":
                    for action in event.session.required_actions:
                        client.beta.agents.sessions.events.create(
                            session.id,
                            events=[
                                {
                                    "type": "agent.session.input.mcp_approval_request_result",
                                    "request_id": action.request_id,
                                    "response": {"type": "mcp_tool_call", "decision": decision},
                                }
                            ],
                        )
                if event.type == "agent.session.turn.output_text.done":
                    text = event.text
        decided.append(text)
    return {"prompt": arguments[0]["prompt"], "answered": answered, "decided": decided}


def undecided(client: OpenAI, agent: str) -> list:
    """The helper's result needs the decision, which is still awaited."""
    session = new_session(client, agent)
    try:
        with client.beta.agents.sessions.stream(session.id, input="look it up") as stream:
            stream.get_final_result()
    except Exception as error:  # whatever it is, the test sees it
        reason = getattr(error, "reason", repr(error))
    waiting = client.beta.agents.sessions.retrieve(session.id)
    return [reason, waiting.status, [action.type for action in waiting.required_actions]]


def rejected(client: OpenAI, agent: str) -> dict:
    """A function of the client that fails rejects the question, which takes no second answer."""
    sessions = client.beta.agents.sessions
    session = new_session(client, agent)

    def fail(asked: dict) -> str:
        raise ValueError("nobody is here")

    calls, text = [], ""
    with sessions.stream(session.id, input="ask a person", tool_handlers={"ask": fail}) as stream:
        for event in stream:
            if event.type == "agent.session.turn.item.added" and event.item.type == "function_call":
                calls.append(event.item)
            if event.type == "agent.session.turn.output_text.done":
                text = event.text
    again = {
        "type": "agent.session.input.tool_result",
        "turn_id": calls[0].turn_id,
        "call_id": calls[0].call_id,
        "success": True,
        "output": "certainly",
    }
    refused = error_of(lambda: sessions.events.create(session.id, events=[again]))
    return {"text": text, "again": refused}


def repeated(client: OpenAI, agent: str) -> list:
    """The same request under the same key is one turn."""
    sessions = client.beta.agents.sessions
    session = new_session(client, agent)
    message = {
        "type": "agent.session.input.message",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "One"}]}],
    }
    for _ in range(2):
        sessions.events.create(session.id, events=[message], extra_headers={"Idempotency-Key": "once"})
    until_idle(client, session.id)
    return [turn.status for turn in sessions.turns.list(session.id)]


def failed(client: OpenAI, agent: str) -> list:
    """A turn fails, and the session goes on."""
    session = new_session(client, agent)
    try:
        with client.beta.agents.sessions.stream(session.id, input="fail") as stream:
            stream.get_final_result()
    except Exception as error:  # whatever it is, the test sees it
        reason = getattr(error, "reason", repr(error))
    turn = next(iter(client.beta.agents.sessions.turns.list(session.id)))
    with client.beta.agents.sessions.stream(session.id, input="Two") as stream:
        return [reason, turn.status, turn.error.code, stream.get_final_result().output_text]


def busy(client: OpenAI, agent: str) -> dict:
    """While a turn runs, the helper sends nothing, and nobody deletes the session."""
    sessions = client.beta.agents.sessions
    session = new_session(client, agent, input="endlessly")
    try:
        with sessions.stream(session.id, input="More") as stream:
            stream.get_final_result()
        refused = "nothing"
    except Exception as error:  # whatever it is, the test sees it
        refused = str(error)
    conflict = error_of(lambda: sessions.delete(session.id))
    sessions.events.create(session.id, events=[{"type": "agent.session.input.cancel"}])
    until_idle(client, session.id)
    said = [item for item in sessions.items.list(session.id, order="asc") if getattr(item, "role", None) == "user"]
    return {
        "refused": "idle" in refused,
        "conflict": conflict[0],
        "said": [item.content[0].text for item in said],
        "deleted": sessions.delete(session.id).deleted,
    }


def canceled(client: OpenAI, agent: str) -> list:
    session = client.beta.agents.sessions.create(environment=NONE, agent_id=agent)
    types = []
    with client.beta.agents.sessions.stream(session.id, input="endlessly") as stream:
        for event in stream:
            if event.type == "agent.session.turn.output_text.delta" and "cancel" not in types:
                types.append("cancel")
                client.beta.agents.sessions.events.create(session.id, events=[{"type": "agent.session.input.cancel"}])
            if event.type in ["agent.session.turn.cancelled", "agent.session.idle"]:
                types.append(event.type)
    return types


def resumed(client: OpenAI, agent: str) -> dict:
    """A stream is cut in mid-answer, and goes on after the last event that arrived."""
    sessions = client.beta.agents.sessions
    seen = []

    def deltas() -> list:
        return [event.delta for event in seen if event.type == "agent.session.turn.output_text.delta"]

    with sessions.create(environment=NONE, agent_id=agent, input="slowly, please", stream=True) as stream:
        for event in stream:
            seen.append(event)
            if len(deltas()) == 3:
                break
    before = len(seen)
    session_id = seen[0].session.id
    with sessions.events.stream(session_id, extra_query={"after": seen[-1].event_id}) as stream:
        for event in stream:
            seen.append(event)
            if event.type == "agent.session.idle":
                break
    return {
        "went_on": len(seen) > before,
        "no_event_twice": len({event.event_id for event in seen}) == len(seen),
        "text": "".join(deltas()),
    }


def lists(client: OpenAI, agent: str) -> dict:
    sessions = client.beta.agents.sessions
    session = sessions.create(environment=NONE, agent_id=agent, metadata={"list": "yes"})
    listed = []
    while session.id not in listed:
        listed = [found.id for found in sessions.list(agent_id=agent, metadata={"list": "yes"}, limit=1)]
    updated = sessions.update(session.id, metadata={"list": "changed"}).metadata
    empty = [list(sessions.subagents.list(session.id)), list(sessions.artifacts.list(session.id))]
    deleted = sessions.delete(session.id).deleted
    return {"found": listed == [session.id], "updated": updated, "empty": empty, "deleted": deleted}


def error_of(call) -> list:
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.code, error.param]
    return []


def errors(client: OpenAI, agent: str) -> dict:
    error, beta = error_of, client.beta
    return {
        "unknown": error(lambda: beta.agents.retrieve("nobody")),
        "create": error(lambda: beta.agents.create(model="x")),
        "environment": error(
            lambda: beta.agents.sessions.create(environment={"type": "openai_hosted"}, agent_id=agent)
        ),
        "vault": error(lambda: beta.agents.vaults.create(name="x")),
        "session": error(lambda: beta.agents.sessions.retrieve("sess_0")),
    }


if __name__ == "__main__":
    main()
