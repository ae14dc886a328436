"""The requests of Open WebUI to an OpenAI connection, as its source sends them.

Usage: open_webui.py GATEWAY_URL AGENT_NAME

Source: `routers/openai.py`, `utils/headers.py` and `routers/tasks.py` of Open WebUI 0.12, with
ENABLE_FORWARD_USER_INFO_HEADERS. The prompts are shorter here, with the same beginning, keys and end. Prints what the
user would see as one JSON object.
"""

import json
import sys

import httpx

CHAT, RESPONSES = "chat/completions", "responses"


class OpenWebUI:
    def __init__(self, url: str, agent: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/v1/", timeout=60)
        self.agent = agent

    def headers(self, chat: str, message: str) -> dict:
        return {
            "Content-Type": "application/json",
            "Authorization": "Bearer unused",
            "X-OpenWebUI-User-Name": "Alice%20A.",
            "X-OpenWebUI-User-Id": "7c1d",
            "X-OpenWebUI-User-Email": "alice@example.com",
            "X-OpenWebUI-User-Role": "user",
            "X-OpenWebUI-Chat-Id": f"{chat} of {self.agent}",
            "X-OpenWebUI-Message-Id": message,
        }

    def models(self) -> list:
        answer = self.http.get("models", headers={"Authorization": "Bearer unused"})
        answer.raise_for_status()
        return [model["id"] for model in answer.json()["data"]]

    def send(self, path: str, chat: str, message: str, said: list, **more) -> str:
        """A message of the user, with the whole conversation before it; the answer streams."""
        body = {"model": self.agent, "stream": True, **more}
        body["messages" if path == CHAT else "input"] = said
        events = []
        with self.http.stream("POST", path, headers=self.headers(chat, message), json=body) as answer:
            if answer.status_code != 200:
                raise RuntimeError(f"{answer.status_code}: {answer.read()}")
            for line in answer.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    events.append(json.loads(line.removeprefix("data: ")))
        if path == CHAT:
            choices = [choice for event in events for choice in event["choices"]]
            return "".join(choice["delta"].get("content") or "" for choice in choices)
        return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")

    def ask_for(self, path: str, chat: str, key: str) -> dict:
        """What the UI wants to know itself; with the header of the chat, and not streamed."""
        prompt = (
            f"### Task:\nDo something with the chat history.\n### Output:\nJSON format: {{ \"{key}\": … }}\n"
            "### Chat History:\n<chat_history>\nUSER: One\nASSISTANT: You said: One\n</chat_history>"
        )
        body = {"model": self.agent, "stream": False}
        if path == CHAT:
            body |= {"messages": [{"role": "user", "content": prompt}], "max_completion_tokens": 1000}
        else:
            body |= {"input": [as_item("user", prompt)], "max_output_tokens": 1000}
        answer = self.http.post(path, headers=self.headers(chat, "of the task"), json=body)
        answer.raise_for_status()
        answer = answer.json()
        if path == CHAT:
            return json.loads(answer["choices"][0]["message"]["content"])
        texts = [part["text"] for item in answer["output"] for part in item["content"]]
        return json.loads("".join(texts)) | {"status": answer["status"]}


def as_message(role: str, text: str) -> dict:
    return {"role": role, "content": text}


def as_item(role: str, text: str) -> dict:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def conversation(ui: OpenWebUI, path: str) -> dict:
    said = as_message if path == CHAT else as_item
    more = {"stream_options": {"include_usage": True}} if path == CHAT else {}
    chat = f"chat by {path}"
    history = [said("user", "One")]
    first = ui.send(path, chat, "m1", history, **more)
    tasks = {key: ui.ask_for(path, chat, key) for key in ["title", "tags", "follow_ups", "queries"]}
    history += [said("assistant", first), said("user", "Two")]
    second = ui.send(path, chat, "m2", history, **more)
    # The page was loaded again while the answer came: the same request.
    repeated = ui.send(path, chat, "m2", history, **more)
    regenerated = ui.send(path, chat, "m3", history, **more)
    return {"answers": [first, second, repeated, regenerated], "tasks": tasks}


def main() -> None:
    url, agent = sys.argv[1:3]
    ui = OpenWebUI(url, agent)
    print(
        json.dumps(
            {
                "has_model": agent in ui.models(),
                "chat": conversation(ui, CHAT),
                "responses": conversation(ui, RESPONSES),
            }
        )
    )


if __name__ == "__main__":
    main()
