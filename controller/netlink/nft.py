"""One table of packet rules that is ours: put to the kernel whole, in one transaction, and looked at again.

Messages are made by pyroute2's classes. Never here: what the rules say.
Invariant: at no moment are there some of the rules and not the others.
"""

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink import nftsocket as nfts

from controller.netlink import attributes, expressions
from controller.netlink.words import Chain, Pair, Pairs, Word

_INET = 1
_BEGIN, _END = 0x10, 0x11
_SUBSYSTEM = NFNL_SUBSYS_NFTABLES << 8
_ERROR, _DONE = 2, 3
_READ_BYTES = 1 << 20
_GET_GENERATION, _GENERATION = 0x10, 0xF  # NFT_MSG_GETGEN and what answers it, NFT_MSG_NEWGEN.
_HEAD_BYTES = 20
_GENERATION_ID = 1
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE, _RULE_EXPRESSIONS = 1, 2, 3, 4
_EXPRESSION_NAME, _EXPRESSION_DATA, _COUNTER_PACKETS = 1, 2, 2
"""Numbers of attributes. Source: linux/netfilter/nf_tables.h. Rules are many, and pyroute2 takes long for each."""
_TIMEOUT = frozenset({"NFT_SET_TIMEOUT"})
_MOST_PAIRS = 1 << 16
"""In one set: so much of the kernel's memory, and no more, is taken by names."""


class Table:
    """The table of one name, of IPv4 and IPv6. Safe to use from several threads."""

    def __init__(self, name: str) -> None:
        """Name it; nothing is made."""
        self._name = name
        self._lock = threading.Lock()

    def replace(self, chains: tuple[Chain, ...], sets: tuple[Pairs, ...] = (), pairs: Iterable[Pair] = ()) -> None:
        """Have the table be these chains and these sets, with these pairs in them, and nothing else.

        Raises:
            OSError: the kernel refused; the table is as it was.
        """
        table: list[tuple[str, Any]] = [("NFTA_TABLE_NAME", self._name), ("NFTA_TABLE_FLAGS", 0)]
        batch = [
            _message(nfts.nft_table_msg, nfts.NFT_MSG_NEWTABLE, table, NLM_F_CREATE),
            _message(nfts.nft_table_msg, nfts.NFT_MSG_DELTABLE, table[:1], 0),
            _message(nfts.nft_table_msg, nfts.NFT_MSG_NEWTABLE, table, NLM_F_CREATE),
            *(self._set(number, each) for number, each in enumerate(sets, 1)),
            *self._pairs(nfts.NFT_MSG_NEWSETELEM, pairs, NLM_F_CREATE),
            *(self._chain(chain) for chain in chains),
            *(self._rule(chain.name, rule) for chain in chains for rule in chain.rules),
        ]
        with self._lock:
            _commit(batch, f"replace the packet rules of the table {self._name}")

    def remove(self) -> None:
        """Remove the table; it may be gone.

        Raises:
            OSError: the kernel refused.
        """
        table: list[tuple[str, Any]] = [("NFTA_TABLE_NAME", self._name)]
        both = [
            _message(nfts.nft_table_msg, nfts.NFT_MSG_NEWTABLE, table, NLM_F_CREATE),
            _message(nfts.nft_table_msg, nfts.NFT_MSG_DELTABLE, table, 0),
        ]
        with self._lock:
            _commit(both, f"remove the table {self._name}")

    def look(self) -> dict[tuple[str, int], int]:
        """Return what there is of it: each rule, as its chain and its number, which no other ever has, and its count.

        Raises:
            OSError: the kernel refused.
        """
        found = {}
        for body in self._bodies(nfts.nft_rule_msg, nfts.NFT_MSG_GETRULE, "NFTA_RULE"):
            rule = dict(attributes.read(body[_HEAD_BYTES:]))
            if _text(rule[_RULE_TABLE]) == self._name:
                number = int.from_bytes(rule[_RULE_HANDLE], "big")
                found[_text(rule[_RULE_CHAIN]), number] = _counted(rule.get(_RULE_EXPRESSIONS, b""))
        return found

    def generation(self) -> int:
        """Return the number of how all tables of the kernel are now: another after any change to one, but of counts.

        Raises:
            OSError: the kernel refused.
        """
        asked = struct.pack("=IHHIIBBH", _HEAD_BYTES, _SUBSYSTEM | _GET_GENERATION, NLM_F_REQUEST, 1, 0, 0, 0, 0)
        with _open() as opened:
            opened.send(asked)
            for type_, body in _split(opened.recv(_READ_BYTES)):
                if type_ == _SUBSYSTEM | _GENERATION:
                    return int.from_bytes(dict(attributes.read(body[_HEAD_BYTES:]))[_GENERATION_ID], "big")
        raise OSError(errno.EPROTO, "cannot look at packet rules: the kernel does not say which generation they are of")

    def add(self, pairs: Iterable[Pair]) -> None:
        """Have the pairs be in their sets for as long as they say now, whatever they said before.

        Raises:
            OSError: the kernel refused: a set is gone, or full.
        """
        given = tuple(pairs)
        with self._lock:
            # One that is there keeps its time, so it goes first; and one has to be there to go.
            _commit(
                [
                    *self._pairs(nfts.NFT_MSG_NEWSETELEM, given, NLM_F_CREATE),
                    *self._pairs(nfts.NFT_MSG_DELSETELEM, given, 0),
                    *self._pairs(nfts.NFT_MSG_NEWSETELEM, given, NLM_F_CREATE),
                ],
                f"let pairs of addresses pass in the table {self._name}",
            )

    def drop(self, pairs: Iterable[Pair]) -> None:
        """Have the pairs, which are in their sets, be in them no more.

        Raises:
            OSError: the kernel refused: one is not there, for its time may just have ended.
        """
        with self._lock:
            for pair in pairs:
                try:
                    _commit(self._pairs(nfts.NFT_MSG_DELSETELEM, (pair,), 0), f"forget a pair in {pair.pairs}")
                except OSError as error:
                    if error.errno != errno.ENOENT:
                        raise

    def pairs(self) -> tuple[Pair, ...]:
        """Return what is in all of its sets now.

        Raises:
            OSError: the kernel refused.
        """
        found: list[Pair] = []
        names = [
            str(each.get_attr("NFTA_SET_NAME"))
            for each in self._dump(nfts.nft_set_msg, nfts.NFT_MSG_GETSET, "NFTA_SET")
        ]
        for name in names:
            asked = [("NFTA_SET_ELEM_LIST_SET", name)]
            for message in self._dump(nfts.nft_set_elem_list_msg, nfts.NFT_MSG_GETSETELEM, "NFTA_SET_ELEM_LIST", asked):
                found += [_pair(name, each) for each in message.get_attr("NFTA_SET_ELEM_LIST_ELEMENTS") or ()]
        return tuple(each for each in found if each.milliseconds > 0)

    def _dump(self, kind: Any, number: int, prefix: str, more: Iterable[tuple[str, Any]] = ()) -> Iterator[Any]:
        for body in self._bodies(kind, number, prefix, more):
            message = kind(body)
            message.decode()
            if message.get_attr(f"{prefix}_TABLE") == self._name:
                yield message

    def _bodies(self, kind: Any, number: int, prefix: str, more: Iterable[tuple[str, Any]] = ()) -> Iterator[bytes]:
        request = _message(kind, number, [(f"{prefix}_TABLE", self._name), *more], NLM_F_DUMP, ack=False)
        with _open() as opened:
            opened.send(request(1))
            while True:
                received = opened.recv(_READ_BYTES)
                for type_, body in _split(received):
                    if type_ == _DONE:
                        return
                    if type_ == _ERROR:
                        number = -struct.unpack_from("=i", body, 16)[0]
                        if number == errno.ENOENT:
                            return
                        raise OSError(number, f"cannot read the table {self._name}: {os.strerror(number)}")
                    yield body

    def _chain(self, chain: Chain) -> Any:
        attributes: list[tuple[str, Any]] = [("NFTA_CHAIN_TABLE", self._name), ("NFTA_CHAIN_NAME", chain.name)]
        if chain.hook is not None:
            hook = [("NFTA_HOOK_HOOKNUM", int(chain.hook)), ("NFTA_HOOK_PRIORITY", chain.priority)]
            attributes += [("NFTA_CHAIN_HOOK", {"attrs": hook}), ("NFTA_CHAIN_TYPE", chain.kind)]
        return _message(nfts.nft_chain_msg, nfts.NFT_MSG_NEWCHAIN, attributes, NLM_F_CREATE)

    def _set(self, number: int, pairs: Pairs) -> Any:
        length = 8 if pairs.version == 4 else 32
        attributes: list[tuple[str, Any]] = [
            ("NFTA_SET_TABLE", self._name), ("NFTA_SET_NAME", pairs.name), ("NFTA_SET_FLAGS", _TIMEOUT),
            ("NFTA_SET_KEY_TYPE", 0), ("NFTA_SET_KEY_LEN", length), ("NFTA_SET_ID", number),
            ("NFTA_SET_DESC", {"attrs": [("NFTA_SET_DESC_SIZE", _MOST_PAIRS)]}),
        ]  # fmt: skip
        return _message(nfts.nft_set_msg, nfts.NFT_MSG_NEWSET, attributes, NLM_F_CREATE)

    def _pairs(self, number: int, pairs: Iterable[Pair], flags: int) -> list[Any]:
        return [
            _message(
                nfts.nft_set_elem_list_msg,
                number,
                [
                    ("NFTA_SET_ELEM_LIST_TABLE", self._name), ("NFTA_SET_ELEM_LIST_SET", pair.pairs),
                    ("NFTA_SET_ELEM_LIST_ELEMENTS", [_element(pair, with_time=number == nfts.NFT_MSG_NEWSETELEM)]),
                ],
                flags,
            )
            for pair in pairs
        ]  # fmt: skip

    def _rule(self, chain: str, rule: Iterable[Word]) -> Any:
        made = [expression for word in rule for expression in expressions.of(word)]
        attributes = [
            ("NFTA_RULE_TABLE", self._name), ("NFTA_RULE_CHAIN", chain), ("NFTA_RULE_EXPRESSIONS", made),
        ]  # fmt: skip
        return _message(nfts.nft_rule_msg, nfts.NFT_MSG_NEWRULE, attributes, NLM_F_CREATE | NLM_F_APPEND)


def _element(pair: Pair, *, with_time: bool) -> Any:
    attributes: list[tuple[str, Any]] = [("NFTA_SET_ELEM_KEY", {"attrs": [("NFTA_DATA_VALUE", pair.packed)]})]
    if with_time:
        attributes.append(("NFTA_SET_ELEM_TIMEOUT", pair.milliseconds))
    return {"attrs": attributes}


def _pair(name: str, element: Any) -> Pair:
    packed = bytes(element.get_attr("NFTA_SET_ELEM_KEY").get_attr("NFTA_DATA_VALUE"))
    return Pair(name, packed, int(element.get_attr("NFTA_SET_ELEM_EXPIRATION") or 0))


def _counted(expressions_: bytes) -> int:
    """Return how many packets a rule has counted; 0 for one that does not count."""
    for _, each in attributes.read(expressions_):
        expression = dict(attributes.read(each))
        if _text(expression[_EXPRESSION_NAME]) == "counter":
            return int.from_bytes(dict(attributes.read(expression[_EXPRESSION_DATA]))[_COUNTER_PACKETS], "big")
    return 0


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _message(kind: Any, number: int, attributes: list[tuple[str, Any]], flags: int, *, ack: bool = True) -> Any:
    """Return what makes the bytes of one message, given its sequence number."""

    def encode(sequence: int) -> bytes:
        message = kind()
        message["nfgen_family"] = _INET
        message["attrs"] = attributes
        message["header"]["type"] = _SUBSYSTEM | number
        message["header"]["flags"] = NLM_F_REQUEST | flags | (NLM_F_ACK if ack else 0)
        message["header"]["sequence_number"] = sequence
        message.encode()
        return bytes(message.data)

    return encode


def _edge(type_: int, sequence: int) -> bytes:
    message = nfgen_msg()
    message["res_id"] = NFNL_SUBSYS_NFTABLES
    message["header"]["type"] = type_
    message["header"]["flags"] = NLM_F_REQUEST
    message["header"]["sequence_number"] = sequence
    message.encode()
    return bytes(message.data)


def _commit(batch: list[Any], purpose: str) -> None:
    last = len(batch) + 1
    made = b"".join((_edge(_BEGIN, 0), *(one(number) for number, one in enumerate(batch, 1)), _edge(_END, last)))
    with _open() as opened:
        opened.send(made)
        waiting = set(range(1, last))
        while waiting:
            for type_, body in _split(opened.recv(_READ_BYTES)):
                sequence = struct.unpack_from("=I", body, 8)[0]
                number = -struct.unpack_from("=i", body, 16)[0] if type_ == _ERROR else 0
                if number:
                    raise OSError(number, f"cannot {purpose}: {os.strerror(number)} (message {sequence} of {last})")
                waiting.discard(sequence)


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 12)  # NETLINK_NETFILTER
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    opened.settimeout(10)
    return opened


def _split(received: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(received):
        length, type_ = struct.unpack_from("=IH", received, at)
        yield type_, received[at : at + length]
        at += length + (-length % 4)
