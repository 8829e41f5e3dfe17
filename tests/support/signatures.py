"""The public signatures of modules, and which of them a file uses that is made for the type checker."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

OURS = "batch_outputs"
Signatures: TypeAlias = dict[str, frozenset[str]]
"""Each by its full name, with the names of its parameters; those of attributes are none."""


def public_signatures(modules: Iterable[ModuleType]) -> Signatures:
    """What `__all__` of the modules brings: functions, and of each class its methods, properties and fields.

    A constructor counts only by its class: many classes are made by us alone.
    """
    found: Signatures = {}
    for module in modules:
        for name in module.__all__:
            value = getattr(module, name)
            found[full_name(value)] = _parameters(value) if isinstance(value, FunctionType) else frozenset()
            if isinstance(value, type):
                found.update(_members(value))
    return found


def full_name(value: type | FunctionType) -> str:
    """Where a class or function was defined, and as what."""
    return f"{value.__module__}.{value.__qualname__}"


def _members(kind: type) -> Iterator[tuple[str, frozenset[str]]]:
    for name in dir(kind):
        owner = _owner(kind, name)
        if not name.startswith("_") and owner is not None:
            member = vars(owner)[name]
            function = getattr(member, "__func__", member)  # a class method holds one
            parameters = list(_parameters(function, bound=True)) if isinstance(function, FunctionType) else []
            yield f"{full_name(owner)}.{name}", frozenset(parameters)


def _owner(kind: type, member: str) -> type | None:
    """The class of ours that defines a member; a method that many inherit is one signature."""
    return next((one for one in kind.__mro__ if member in vars(one) and one.__module__.startswith(OURS)), None)


def _parameters(function: FunctionType, *, bound: bool = False) -> frozenset[str]:
    return frozenset([*inspect.signature(function).parameters][1 if bound else 0 :])


def used_signatures(source: str, names: Mapping[str, Any]) -> Signatures:
    """What the functions of a source use, and which parameters they give.

    A local name is of the class that its annotation or an `assert_type` on it says; the type checker sees to it that
    this is so. `names` are the globals of the source.
    """
    found: Signatures = {}
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for name, parameters in _Uses(function, names).found():
                found[name] = found.get(name, frozenset()) | parameters
    return found


@dataclass(frozen=True)
class _Callee:
    name: str
    parameters: list[inspect.Parameter] = field(default_factory=list)


class _Uses:
    def __init__(self, function: ast.FunctionDef | ast.AsyncFunctionDef, names: Mapping[str, Any]) -> None:
        self._function = function
        self._names = names
        self._classes: dict[str, type] = {}
        arguments = function.args
        for argument in (*arguments.args, *arguments.kwonlyargs):
            self._learn(argument.arg, argument.annotation)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "assert_type":
                what, claimed = node.args
                if isinstance(what, ast.Name):
                    self._learn(what.id, claimed)

    def found(self) -> Iterator[tuple[str, frozenset[str]]]:
        for node in ast.walk(self._function):
            if isinstance(node, ast.Name | ast.Attribute) and (callee := self._callee(node)):
                yield callee.name, frozenset()
            if isinstance(node, ast.Call) and (callee := self._callee(node.func)):
                by_place = [
                    parameter.name for parameter in callee.parameters if parameter.kind != parameter.KEYWORD_ONLY
                ]
                by_name = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
                yield callee.name, frozenset([*by_place[: len(node.args)], *by_name])

    def _learn(self, name: str, annotation: ast.expr | None) -> None:
        if annotation is not None and isinstance(kind := self._value(annotation), type):
            self._classes[name] = kind

    def _callee(self, node: ast.expr) -> _Callee | None:
        """The class, function or member that an expression names."""
        if isinstance(node, ast.Attribute) and (kind := self._class_of(node.value)):
            owner = _owner(kind, node.attr)
            if owner is None:
                return None
            member = vars(owner)[node.attr]
            function = getattr(member, "__func__", member)
            parameters = [*inspect.signature(function).parameters.values()][1:] if callable(function) else []
            return _Callee(f"{full_name(owner)}.{node.attr}", parameters)
        value = self._value(node)
        if isinstance(value, FunctionType):
            return _Callee(full_name(value), [*inspect.signature(value).parameters.values()])
        return _Callee(full_name(value)) if isinstance(value, type) else None

    def _class_of(self, node: ast.expr) -> type | None:
        """The class that an expression is, or is an instance of, where that can be told."""
        if isinstance(node, ast.Name) and node.id in self._classes:
            return self._classes[node.id]
        value = self._value(node.func if isinstance(node, ast.Call) else node)
        return value if isinstance(value, type) else None

    def _value(self, node: ast.expr) -> object:
        """What a dotted name of globals is."""
        if isinstance(node, ast.Name):
            return None if node.id in self._classes else self._names.get(node.id)
        if isinstance(node, ast.Attribute):
            within = self._value(node.value)
            return getattr(within, node.attr, None) if isinstance(within, ModuleType) else None
        return None
