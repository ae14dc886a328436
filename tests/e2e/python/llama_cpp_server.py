"""llama.cpp's own server with a model of a few bytes: `llama_cpp_server.py PORT` serves http://127.0.0.1:PORT.

The model's weights are a table: each token has one that follows it. So it says what is written below, in the form that
Qwen 3 uses, and the server does what it does with any model: it renders the template, restricts the model to the
grammar of the tools, and makes thinking and calls of the text.
"""

import signal
import struct
import sys
import tempfile

import xllamacpp

# After the last token of a prompt that ends with a user's message, and of one that ends with a result.
CALL = [
    "<think>", "\nI", " look", ".\n", "</think>", "\n\n",
    "<tool_call>", '\n{"name":', ' "get_weather",', ' "arguments":', ' {"city":', ' "Os', 'lo"}', "}\n", "</tool_call>",
    "<|im_end|>",
]  # fmt: skip
ANSWER = ["<|answer|>", "It is", " cold.", "<|im_end|>"]

TEMPLATE = """\
{%- if tools or messages[0].role == 'system' %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}{% if tools %}# Tools

You are provided with function signatures within <tools></tools> XML tags:
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>{% endif %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role == 'assistant' %}<|im_start|>assistant
{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif message.role != 'system' %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if messages[-1].role == 'tool' %}<|answer|>{% endif %}{% endif %}"""

# Kinds of tokens, and of values in a file.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9
ALIGNMENT = 32
WIDTH, FEED_FORWARD, HEADS = 320, 32, 4


def vocabulary():
    control = ["<unk>", "<s>", "<|im_start|>", "<|im_end|>", "<|answer|>"]
    tokens = [(text, CONTROL) for text in control]
    tokens[0] = (control[0], UNKNOWN)
    tokens += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    for text in [*CALL, *ANSWER]:
        if text not in control:
            tokens.append((text, USER_DEFINED) if text.startswith("<") else (text.replace(" ", "\u2581"), NORMAL))
    assert len(tokens) <= WIDTH and len(set(tokens)) == len(tokens)
    return tokens


def followers(tokens):
    ids = {text.replace("\u2581", " "): number for number, (text, _) in enumerate(tokens)}
    newline = ids["<0x0A>"]
    chains = [[newline, *(ids[text] for text in CALL)], [ids[text] for text in ANSWER]]
    return {first: second for chain in chains for first, second in zip(chain, chain[1:])}


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return string(content)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f"}[kind], content)


def entry(name, kind, content):
    if isinstance(content, list):
        items = b"".join(value(kind, item) for item in content)
        return string(name) + struct.pack("<IIQ", ARRAY, kind, len(content)) + items
    return string(name) + struct.pack("<I", kind) + value(kind, content)


def matrix(columns, rows, cells):
    data = bytearray(4 * columns * rows)
    for (row, column), cell in cells.items():
        struct.pack_into("<f", data, 4 * (row * columns + column), cell)
    return [columns, rows], bytes(data)


def model():
    """The bytes of a GGUF file, version 3."""
    tokens = vocabulary()
    size = len(tokens)
    ones = [WIDTH], struct.pack("<f", 1.0) * WIDTH
    square = matrix(WIDTH, WIDTH, {})
    tensors = {
        "token_embd.weight": matrix(WIDTH, size, {(token, token): 1.0 for token in range(size)}),
        "output.weight": matrix(WIDTH, size, {(second, first): 10.0 for first, second in followers(tokens).items()}),
        "output_norm.weight": ones,
        "blk.0.attn_norm.weight": ones,
        "blk.0.attn_q.weight": square,
        "blk.0.attn_k.weight": square,
        "blk.0.attn_v.weight": square,
        "blk.0.attn_output.weight": square,
        "blk.0.ffn_norm.weight": ones,
        "blk.0.ffn_gate.weight": matrix(WIDTH, FEED_FORWARD, {}),
        "blk.0.ffn_up.weight": matrix(WIDTH, FEED_FORWARD, {}),
        "blk.0.ffn_down.weight": matrix(FEED_FORWARD, WIDTH, {}),
    }
    entries = [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, "scripted"),
        entry("llama.context_length", U32, 65536),
        entry("llama.embedding_length", U32, WIDTH),
        entry("llama.block_count", U32, 1),
        entry("llama.feed_forward_length", U32, FEED_FORWARD),
        entry("llama.attention.head_count", U32, HEADS),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.dimension_count", U32, WIDTH // HEADS),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.tokens", STRING, [text for text, _ in tokens]),
        entry("tokenizer.ggml.scores", F32, [0.0] * size),
        entry("tokenizer.ggml.token_type", I32, [kind for _, kind in tokens]),
        entry("tokenizer.ggml.unknown_token_id", U32, 0),
        entry("tokenizer.ggml.bos_token_id", U32, 1),
        entry("tokenizer.ggml.eos_token_id", U32, 3),
        entry("tokenizer.chat_template", STRING, TEMPLATE),
    ]
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries)
    data = b""
    for name, (shape, content) in tensors.items():
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        header += string(name) + dimensions + struct.pack("<IQ", 0, len(data))
        data += content + bytes(-len(content) % ALIGNMENT)
    return header + bytes(-len(header) % ALIGNMENT) + data


with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
    file.write(model())
    file.flush()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file.name
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(sys.argv[1])
    parameters.n_ctx = 32768
    parameters.n_parallel = 1
    server = xllamacpp.Server(parameters)
    signal.pause()
