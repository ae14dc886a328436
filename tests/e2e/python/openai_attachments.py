"""Images and files through the public client `openai`, unmodified.

Usage: openai_attachments.py GATEWAY_URL AGENT_NAME IMAGE_BASE64

Sends an image and a file, reads them back as items and as bytes, and sends what is refused. Prints what it got as one
JSON object.
"""

import base64
import hashlib
import json
import sys

import openai
from openai import OpenAI


def main() -> None:
    url, agent, image = sys.argv[1:4]
    client = OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
    data_url = f"data:image/png;base64,{image}"
    print(
        json.dumps(
            {
                "response": response(client, agent, data_url),
                "chat": chat(client, agent, data_url),
                "refused": refused(client, agent, data_url),
            }
        )
    )


def response(client: OpenAI, agent: str, data_url: str) -> dict:
    table = base64.b64encode(b"tea,3\n").decode()
    content = [
        {"type": "input_text", "text": "See:"},
        {"type": "input_image", "image_url": data_url, "detail": "high"},
        {"type": "input_file", "filename": "table.csv", "file_data": f"data:text/csv;base64,{table}"},
        {"type": "input_image", "image_url": "https://example.com/tea.png?sig=1", "detail": "auto"},
    ]
    answer = client.responses.create(model=agent, input=[{"role": "user", "content": content}])
    [item] = client.responses.input_items.list(answer.id)
    _, image, table, linked = item.content
    downloaded = client.files.content(image.file_id)
    file = client.files.retrieve(table.file_id)
    second = client.responses.create(model=agent, input="And now?", previous_response_id=answer.id)
    return {
        "text": answer.output_text,
        "second": second.output_text,
        "kinds": [part.type for part in item.content],
        "detail": image.detail,
        "linked": linked.image_url,
        "sha256": hashlib.sha256(downloaded.content).hexdigest(),
        "disposition": downloaded.response.headers["content-disposition"],
        "nosniff": downloaded.response.headers["x-content-type-options"],
        "type": downloaded.response.headers["content-type"],
        "file": [file.filename, file.bytes],
    }


def chat(client: OpenAI, agent: str, data_url: str) -> str:
    content = [
        {"type": "text", "text": "Chat:"},
        {"type": "image_url", "image_url": {"url": data_url}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
    ]
    completion = client.chat.completions.create(model=agent, messages=[{"role": "user", "content": content}])
    return completion.choices[0].message.content


def refused(client: OpenAI, agent: str, data_url: str) -> dict:
    def error(*parts: dict) -> list:
        try:
            client.responses.create(model=agent, input=[{"role": "user", "content": list(parts)}])
        except openai.APIStatusError as error:
            return [error.status_code, error.code, error.param]
        return []

    def file(media_type: str, content: bytes) -> dict:
        data = base64.b64encode(content).decode()
        return {"type": "input_file", "filename": "a", "file_data": f"data:{media_type};base64,{data}"}

    image = {"type": "input_image", "image_url": data_url}
    return {
        "large": error(file("text/plain", b"a" * (8 * 1024 * 1024 + 1))),
        "larger_than_a_body": error(file("text/plain", b"a" * (16 * 1024 * 1024))),
        "archive": error(file("application/zip", b"PK\x03\x04\xff\xff")),
        "audio": error({"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}}),
        "mismatch": error({"type": "input_image", "image_url": "data:image/png;base64,aGk="}),
        "many": error(*[image] * 11),
        "inside": error({"type": "input_image", "image_url": "https://10.0.0.1/a.png"}),
        "file_id": error({"type": "input_file", "file_id": "file-1"}),
    }


if __name__ == "__main__":
    main()
