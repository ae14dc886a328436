"""An MCP server on an older SDK, with sessions: `mcp_server_older.py PORT` serves http://127.0.0.1:PORT/mcp."""

import sys

from mcp.server.fastmcp import FastMCP

server = FastMCP("steadfast-test", host="127.0.0.1", port=int(sys.argv[1]))


@server.tool()
def echo(text: str) -> str:
    """Repeats a text."""
    return text


@server.tool()
def sum(a: int, b: int) -> dict[str, int]:
    """Adds two numbers."""
    return {"sum": a + b}


server.run(transport="streamable-http")
