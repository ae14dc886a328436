"""Reads queries of Prometheus, given as a JSON list, and prints what each asks for, as Prometheus' own parser sees it."""

import json
import sys

import promql_parser


def children(node):
    match node:
        case promql_parser.AggregateExpr():
            return [node.expr, *([node.param] if node.param else [])]
        case promql_parser.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql_parser.Call():
            return list(node.args)
        case promql_parser.UnaryExpr() | promql_parser.ParenExpr() | promql_parser.SubqueryExpr():
            return [node.expr]
        case promql_parser.MatrixSelector():
            return [node.vector_selector]
        case promql_parser.VectorSelector() | promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return []
    raise TypeError(f"unknown part of a query: {type(node).__name__}")


def walk(node):
    yield node
    for child in children(node):
        yield from walk(child)


def selectors(node):
    return [
        {"name": part.name, "labels": [matcher.name for matcher in part.matchers.matchers]}
        for part in walk(node)
        if isinstance(part, promql_parser.VectorSelector)
    ]


def groupings(node):
    return [
        {"labels": list(part.modifier.labels), "metrics": [found["name"] for found in selectors(part)]}
        for part in walk(node)
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier
    ]


def is_compared(node):
    """Whether the query has a result only while something is wrong."""
    if isinstance(node, promql_parser.BinaryExpr):
        return str(node.op) in {"==", "!=", ">", "<", ">=", "<="}
    return isinstance(node, promql_parser.Call) and node.func.name == "absent"


def read(query):
    try:
        node = promql_parser.parse(query)
    except ValueError as error:
        return {"error": str(error)}
    return {"selectors": selectors(node), "groupings": groupings(node), "compared": is_compared(node)}


print(json.dumps([read(query) for query in json.loads(sys.argv[1])]))
