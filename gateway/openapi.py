"""The OpenAPI document of the REST door, made of the table of its routes and of the schema that their documents ask."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import orjson
from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

from gateway.bar_files import FILES
from gateway.door import Parameter
from gateway.negotiation import JSON
from gateway.rest import ENDPOINTS, Endpoint
from schema.build import Schema

Described = dict[str, Any]
"""A JSON Schema, or a part of the document."""

_SCALARS: Final[Mapping[str, Described]] = {
    "Float": {"type": "number"},
    "Int": {"type": "integer"},
    "Boolean": {"type": "boolean"},
    "DateTime": {"type": "string", "format": "date-time"},
}
"""By name; all others are strings."""

_ERROR: Final[Described] = {
    "type": "object",
    "required": ["success", "error"],
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "description": "What is wrong, and what to do; details of it may be beside.",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "examples": ["INVALID_INTERVAL"]},
                "message": {"type": "string"},
                "retryAfter": {"type": "number", "description": "Seconds until it may be asked again."},
            },
        },
    },
}
_REFUSALS: Final = {
    "400": "The caller can mend it.",
    "401": "What was shown to tell who asks is not good.",
    "403": "Who asks may not have this.",
    "404": "Nobody knows the symbol, or the window holds no bars.",
    "406": "`Accept` names nothing that can be given.",
    "413": "The query string is too long.",
    "429": "Too much was asked in a while.",
    "500": "Something unexpected; the server's log has it under `requestId`.",
    "502": "A source answered with something that cannot be used.",
    "503": "No source, or no store, answers.",
    "504": "It took too long.",
}


def described(schema: Schema) -> bytes:
    """The document, as JSON (OpenAPI 3.1)."""
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "SmartFin",
            "version": version("smartfin"),
            "description": "Market data by plain GET. GraphQL, at /graphql, answers the same and more.",
        },
        "servers": [{"url": "/api"}],
        "paths": {_plain(endpoint.path): _path(schema, endpoint) for endpoint in ENDPOINTS},
        "components": {"schemas": {"Error": _ERROR}},
    }
    return orjson.dumps(document)


def _plain(path: str) -> str:
    """The path without the convertors that Starlette takes."""
    return re.sub(r":\w+}", "}", path)


def _path(schema: Schema, endpoint: Endpoint) -> Described:
    answer = {"schema": _envelope(*endpoint.describe(selected(schema, endpoint.document)))}
    files: Described = {file.media_type: {} for file in FILES.values()} if endpoint.gives_files else {}
    operation = {
        "summary": endpoint.summary,
        "parameters": [_parameter(parameter) for parameter in endpoint.parameters],
        "responses": {
            "200": {"description": "The answer.", "content": {JSON: answer, **files}},
            **{status: _refusal(description) for status, description in _REFUSALS.items()},
        },
    }
    return {"get": {"operationId": endpoint.respond.__name__, **operation}}


def _parameter(parameter: Parameter) -> Described:
    return {
        "name": parameter.name,
        "in": "path" if parameter.in_path else "query",
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": parameter.schema,
        **({"explode": False} if parameter.schema.get("type") == "array" else {}),
    }


def _refusal(description: str) -> Described:
    return {"description": description, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _envelope(data: Described, metadata: Described) -> Described:
    told = metadata | {
        "timestamp": {"type": "string", "format": "date-time", "description": "When it was answered."},
        "rateLimitRemaining": {
            "type": ["integer", "null"],
            "description": "What was left of the caller's budget for this minute then; null where there is none.",
        },
    }
    return {
        "type": "object",
        "required": ["success", "data", "metadata"],
        "properties": {
            "success": {"const": True},
            "data": data,
            "metadata": {
                "type": "object",
                "required": ["count", "timestamp", "rateLimitRemaining"],
                "properties": told,
            },
        },
    }


def selected(schema: Schema, document: str) -> Described:
    """The JSON Schema of the `data` that a document of one operation selects."""
    [operation] = parse(document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    root = schema.core.query_type
    assert root is not None
    return _object(root, operation.selection_set)


def _object(of: GraphQLObjectType, selections: SelectionSetNode) -> Described:
    properties = {}
    for node in selections.selections:
        assert isinstance(node, FieldNode)  # documents of ours have no fragments
        field = of.fields[node.name.value]
        description = {"description": field.description} if field.description else {}
        shown = (node.alias or node.name).value
        properties[shown] = _type(field.type, node.selection_set) | description
    return {"type": "object", "required": list(properties), "properties": properties}


def _type(of: GraphQLOutputType, selections: SelectionSetNode | None) -> Described:
    if isinstance(of, GraphQLNonNull):
        return _not_null(of.of_type, selections)
    kind = _not_null(of, selections)
    return kind | {"type": [kind["type"], "null"], **({"enum": [*kind["enum"], None]} if "enum" in kind else {})}


def _not_null(of: Any, selections: SelectionSetNode | None) -> Described:
    match of:
        case GraphQLList():
            return {"type": "array", "items": _type(of.of_type, selections)}
        case GraphQLEnumType():
            return {"type": "string", "enum": list(of.values)}
        case GraphQLScalarType():
            return {**_SCALARS.get(of.name, {"type": "string"})}
        case _:
            assert selections is not None
            return _object(of, selections)
