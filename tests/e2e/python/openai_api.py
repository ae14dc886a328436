"""OpenAI's APIs through the public client `openai`, unmodified.

Usage: openai_api.py GATEWAY_URL AGENT_NAME

Works like any program for OpenAI: models, responses (whole, streamed, in the background, resumed, canceled, parsed),
conversations, an approval, and chat completions. The client makes an exception of each field that is missing or wrong.
Prints what it got as one JSON object.
"""

import json
import sys

import openai
from openai import OpenAI
from pydantic import BaseModel


class Weather(BaseModel):
    city: str
    degrees: int


def main() -> None:
    url, agent = sys.argv[1:3]
    client = OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, _strict_response_validation=True)
    print(
        json.dumps(
            {
                "models": [model.id for model in client.models.list()],
                "model": client.models.retrieve(agent).id,
                "whole": whole(client, agent),
                "streamed": streamed(client, agent),
                "resumed": resumed(client, agent),
                "parsed": parsed(client, agent),
                "canceled": canceled(client, agent),
                "approved": decided(client, agent, approve=True),
                "denied": decided(client, agent, approve=False),
                "conversation": conversation(client, agent),
                "chat": chat(client, agent),
                "errors": errors(client, agent),
            }
        )
    )


def whole(client: OpenAI, agent: str) -> dict:
    first = client.responses.create(model=agent, input="One")
    second = client.responses.create(model=agent, input="Two", previous_response_id=first.id)
    again = client.responses.retrieve(second.id)
    items = client.responses.input_items.list(second.id)
    return {
        "first": first.output_text,
        "second": second.output_text,
        "same_later": again.output_text == second.output_text and again.status == "completed",
        "usage": second.usage.total_tokens,
        "input": [part.text for item in items for part in item.content],
    }


def streamed(client: OpenAI, agent: str) -> dict:
    deltas = []
    with client.responses.stream(model=agent, input="A stream") as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                deltas.append(event.delta)
        final = stream.get_final_response()
    return {"deltas": "".join(deltas), "pieces": len(deltas), "text": final.output_text}


def resumed(client: OpenAI, agent: str) -> dict:
    """A stream is cut in mid-answer, and goes on after the last event that arrived."""
    seen = []
    with client.responses.create(model=agent, input="slowly, please", stream=True, background=True) as stream:
        for event in stream:
            seen.append(event)
            if sum(event.type == "response.output_text.delta" for event in seen) == 3:
                break
    response_id = seen[0].response.id
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number))
    numbers = [event.sequence_number for event in seen + rest]
    deltas = [event.delta for event in seen + rest if event.type == "response.output_text.delta"]
    with client.responses.stream(response_id=response_id, starting_after=2) as stream:
        helper = stream.get_final_response()
    return {
        "gapless": numbers == list(range(len(numbers))),
        "deltas": "".join(deltas),
        "text": rest[-1].response.output_text,
        "helper": helper.output_text,
    }


def parsed(client: OpenAI, agent: str) -> dict:
    response = client.responses.parse(model=agent, input="as JSON", text_format=Weather)
    completion = client.chat.completions.parse(
        model=agent, messages=[{"role": "user", "content": "as JSON"}], response_format=Weather
    )
    return {
        "response": response.output_parsed.model_dump(),
        "completion": completion.choices[0].message.parsed.model_dump(),
    }


def canceled(client: OpenAI, agent: str) -> str:
    with client.responses.create(model=agent, input="endlessly", stream=True, background=True) as stream:
        for event in stream:
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_text.delta":
                break
    return client.responses.cancel(response_id).status


def decided(client: OpenAI, agent: str, approve: bool) -> dict:
    asking = client.responses.create(model=agent, input="ask a person")
    request = asking.output[-1]
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": request.id,
        "approve": approve,
        "reason": "because",
    }
    with client.responses.stream(model=agent, previous_response_id=asking.id, input=[answer]) as stream:
        stream.until_done()
        final = stream.get_final_response()
    return {
        "asked": [request.type, request.name, request.arguments],
        "items": [item.type for item in final.output],
        "text": final.output_text,
    }


def conversation(client: OpenAI, agent: str) -> dict:
    conversation = client.conversations.create()
    empty = client.conversations.retrieve(conversation.id)
    for text in ["One", "Two"]:
        client.responses.create(model=agent, input=text, conversation=conversation.id)
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=3))
    item = client.conversations.items.retrieve(items[1].id, conversation_id=conversation.id)
    updated = client.conversations.update(conversation.id, metadata={"k": "v"})
    deleted = client.conversations.delete(conversation.id)
    return {
        "same_id": empty.id == conversation.id,
        "texts": [item.content[0].text for item in items],
        "item": item.content[0].text,
        "updated": updated.metadata,
        "deleted": deleted.deleted,
    }


def chat(client: OpenAI, agent: str) -> dict:
    messages = [{"role": "user", "content": "One"}]
    headers = {"X-Conversation-Id": f"chat of {agent}"}
    first = client.chat.completions.create(model=agent, messages=messages, extra_headers=headers)
    messages += [{"role": "assistant", "content": "shortened"}, {"role": "user", "content": "Two"}]
    with client.chat.completions.stream(
        model=agent, messages=messages, extra_headers=headers, stream_options={"include_usage": True}
    ) as stream:
        stream.until_done()
        second = stream.get_final_completion()
    return {
        "first": first.choices[0].message.content,
        "second": second.choices[0].message.content,
        "reason": second.choices[0].finish_reason,
        "usage": second.usage.total_tokens,
    }


def errors(client: OpenAI, agent: str) -> dict:
    def error(call) -> list:
        try:
            call()
        except openai.APIStatusError as error:
            return [type(error).__name__, error.code, error.param]
        return []

    audio = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}}]}]
    return {
        "unknown_model": error(lambda: client.responses.create(model="nobody", input="Hi")),
        "audio": error(lambda: client.responses.create(model=agent, input=audio)),
        "unknown_response": error(lambda: client.responses.retrieve("resp_0")),
        "delete": error(lambda: client.responses.delete(client.responses.create(model=agent, input="Hi").id)),
    }


if __name__ == "__main__":
    main()
