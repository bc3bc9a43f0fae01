"""A failed call in words for people: the one place that turns an error into a line."""

import re
from collections.abc import Mapping
from string import Formatter

import grpc

from client.cli.amounts import in_words
from client.cli.refusals import REFUSALS
from client.sdk.errors import InvalidRequest, OrderstreamError, Unreachable

MAX_CAUSE_LENGTH = 160  # characters
NOT_TRUSTED = "CERTIFICATE_VERIFY_FAILED"  # as BoringSSL says it
WHOM_TO_TRUST = "the authorities that are accepted are those of --tls-ca."
IS_IT_RUNNING = "is `orderstream up` running?"
TYPED = re.compile(r"\((orderstream .*)\)$")  # of a remedy that the server names: an RPC, and the command line for it
NAMES_OF_STATES = ("status", "stage", "outcome", "ended", "waits_for")
NAME_OF_A_COMMAND = re.compile(r"(?<=[a-z])(?=[A-Z])")


def words_of(error: OrderstreamError) -> str:
    """One line: the problem, what to do about it, and the reason for programs."""
    if isinstance(error, Unreachable) and error.address and NOT_TRUSTED in str(error):
        problem = f"the certificate of {_server(error)} is not accepted: {_cause(error)}"
        return f"{problem}; {WHOM_TO_TRUST} {_setting(error)}"
    if isinstance(error, Unreachable) and error.address:
        return f"{_server(error)} does not answer ({_cause(error)}); {IS_IT_RUNNING} {_setting(error)}"
    if error.code is grpc.StatusCode.UNIMPLEMENTED and error.address:
        return f"{_server(error)} does not know this call: another service, or another release? {_setting(error)}"
    sentence, remedy = _refusal(error)
    text = f"{sentence}; {remedy}" if remedy else sentence
    return f"{text} [{error.reason}]" if error.reason else text


def _refusal(error: OrderstreamError) -> tuple[str, str]:
    """The problem, and what to do about it, if any help is known."""
    remedy = _remedy_of_the_server(error.metadata)
    values = _Values(error.metadata)
    for words in REFUSALS.get(error.reason, ()):
        try:
            sentence = values.put_into(words.sentence)
        except KeyError:  # the next one, which needs less
            continue
        try:
            return sentence, remedy or values.put_into(words.remedy)
        except KeyError:
            return sentence, remedy
    said = str(error).removeprefix(f"{error.reason}: ").partition("; remedy: ")[0] or error.reason
    return f"the request is not accepted: {said}" if isinstance(error, InvalidRequest) else said, remedy


def _remedy_of_the_server(metadata: Mapping[str, str]) -> str:
    remedy = metadata.get("remedy", "")
    typed = TYPED.search(remedy)
    return typed.group(1) if typed else remedy


class _Values(dict[str, str]):
    """The metadata of a refusal, each value in the form for people."""

    def put_into(self, sentence: str) -> str:
        """Raises `KeyError` if a value is not there."""
        return Formatter().vformat(sentence, (), self)

    def __getitem__(self, name: str) -> str:
        value = super().__getitem__(name)
        if name.endswith("_minor") and value.lstrip("-").isdecimal():
            return in_words(int(value), self.get("currency", ""))
        if name in NAMES_OF_STATES:
            return value.lower().replace("_", " ")
        return NAME_OF_A_COMMAND.sub(" ", value).lower() if name == "command" else value


def _server(error: OrderstreamError) -> str:
    return f"the service for {error.role} at {error.address}" if error.role else f"the service at {error.address}"


def _setting(error: OrderstreamError) -> str:
    if not error.role:
        return "Another address is another argument."
    return f"Another address: --{error.role}, or ORDERSTREAM_{error.role.upper()}."


def _cause(error: OrderstreamError) -> str:
    """The last part of gRPC's text about a connection: "Connection refused (111)"."""
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "not in time"
    return str(error).rpartition(": ")[2][:MAX_CAUSE_LENGTH]
