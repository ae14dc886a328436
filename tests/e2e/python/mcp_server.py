"""An MCP server of protocol 2026-07-28: `mcp_server.py PORT` serves http://127.0.0.1:PORT/mcp."""

import sys
import uuid
from typing import Annotated

from mcp.server.mcpserver import Context, Elicit, ElicitationResult, MCPServer, Resolve
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

server = MCPServer("steadfast-test")


class Confirmation(BaseModel):
    confirmed: bool


def confirmation(question: str) -> Elicit[Confirmation]:
    return Elicit(question, Confirmation)


class LongForm(BaseModel):
    confirmed: bool = Field(description="x" * 1_000_000)


def long_form(question: str) -> Elicit[LongForm]:
    return Elicit(question, LongForm)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def nonce() -> str:
    """Returns a random value."""
    return str(uuid.uuid4())


@server.tool(structured_output=False)
def echo(text: str, ctx: Context) -> str:
    """Returns the text, the idempotency key and the traceparent of the request."""
    meta = dict(ctx.request_context.meta or {})
    return " ".join([text, *(str(meta.get(name)) for name in ("steadfast.dev/idempotency-key", "traceparent"))])


@server.tool(structured_output=False)
def ask(question: str, answer: Annotated[ElicitationResult[Confirmation], Resolve(confirmation)]) -> str:
    """Asks a person and returns the answer."""
    return answer.action if answer.action != "accept" else f"accept {answer.data.confirmed}"


@server.tool(structured_output=False)
def ask_much(question: str, answer: Annotated[ElicitationResult[LongForm], Resolve(long_form)]) -> str:
    """Asks a person with a form of a megabyte."""
    return answer.action


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
