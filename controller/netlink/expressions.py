"""The words of packet rules as the kernel has them: expressions, of pyroute2's classes. What they mean: `words`."""

import struct
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from pyroute2.netlink.nfnetlink import nftsocket as nfts
from pyroute2.nftables.expressions import genex

from controller.netlink import words
from controller.netlink.words import Word

_R1, _R2, _VERDICT = nfts.Regs.NFT_REG_1, nfts.Regs.NFT_REG_2, nfts.Regs.NFT_REG_VERDICT
_EQ, _NEQ, _LTE, _GTE = 0, 1, 3, 5
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_IIFNAME, _OIFNAME, _L4PROTO, _NFPROTO = 6, 7, 16, 15
_CT_STATE, _CT_STATUS = 0, 2
_DST_NAT = 1 << 5  # IPS_DST_NAT
_LOCAL = 2  # RTN_LOCAL
_ADDRESS_TYPE = ("NFT_FIB_RESULT_UNSPEC", "NFT_FIB_RESULT_OIF")
"""The number 3, which is what the kernel has for it; pyroute2 takes the field for one of flags."""
_OF_DESTINATION = 1 << 1
_NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}
_NFPROTO_OF = {4: 2, 6: 10}
_NAME_BYTES = 16
_DNAT = 1
_ADDRESSES = {(4, "source"): (12, 4), (4, "destination"): (16, 4), (6, "source"): (8, 16), (6, "destination"): (24, 16)}
_VERDICTS: dict[type, int] = {words.Accept: 1, words.Drop: 0, words.Return: -5}
_TWO_BYTES = {"NFTA_LOG_GROUP": "be16", "NFTA_LOG_QTHRESHOLD": "be16"}
_Log = nfts.nft_contains_expr.nft_expr.nft_log
_Log.nla_map = tuple((name, _TWO_BYTES.get(name, kind)) for name, kind in _Log.nla_map)
"""As the kernel has them (linux/netfilter/nf_tables.h); pyroute2 takes these numbers for longer ones."""
_TOLD_BYTES = 64
"""Of a packet, to who listens: its headers."""


def of(word: Word) -> list[Any]:  # noqa: C901  one line a word
    """Return the expressions of a word."""
    match word:
        case words.From(link, prefix, inverted):
            return _name(_IIFNAME, link, prefix=prefix, inverted=inverted)
        case words.Into(link, prefix, inverted):
            return _name(_OIFNAME, link, prefix=prefix, inverted=inverted)
        case words.Source(network, inverted):
            return _address("source", network, inverted=inverted)
        case words.Destination(network, inverted):
            return _address("destination", network, inverted=inverted)
        case words.PairIn(pairs, version):
            return _pair_in(pairs, version)
        case words.Protocol(name):
            return [_meta(_L4PROTO), _compare(_EQ, bytes((_NUMBERS[name],)))]
        case words.Version(number):
            return [_meta(_NFPROTO), _compare(_EQ, bytes((_NFPROTO_OF[number],)))]
        case words.Port(first, last):
            return [_load(_TRANSPORT_HEADER, 2, 2), *_between(struct.pack("!H", first), struct.pack("!H", last))]
        case words.IcmpType(first, last):
            return [_load(_TRANSPORT_HEADER, 0, 1), *_between(bytes((first,)), bytes((last,)))]
        case words.InState(states):
            return _flags(_CT_STATE, int(states) << 0)
        case words.WasRedirected():
            return _flags(_CT_STATUS, _DST_NAT)
        case words.ToThisHost():
            fib = genex("fib", {"dreg": _R1, "result": _ADDRESS_TYPE, "flags": _OF_DESTINATION})
            return [fib, _compare(_EQ, struct.pack("=I", _LOCAL))]
        case words.Limit(each_second, burst):
            return [genex("limit", {"rate": each_second, "unit": 1, "burst": burst, "type": 0, "flags": 0})]
        case words.Log(group, text):
            return [genex("log", {"group": group, "prefix": text, "snaplen": _TOLD_BYTES, "qthreshold": 1})]
        case words.Count():
            return [genex("counter", {"bytes": 0, "packets": 0})]
        case words.Accept() | words.Drop() | words.Return():
            return [_verdict(_VERDICTS[type(word)])]
        case words.Reject():
            return [genex("reject", {"type": 2, "icmp_code": 3})]
        case words.Reset():
            return [genex("reject", {"type": 1, "icmp_code": 0})]
        case words.Jump(chain):
            return [_verdict(-3, chain)]
        case words.Redirect(address, port):
            family = _NFPROTO_OF[address.version]
            there = {"type": _DNAT, "family": family, "reg_addr_min": _R1, "reg_proto_min": _R2}
            return [_set(_R1, address.packed), _set(_R2, struct.pack("!H", port)), genex("nat", there)]
        case words.Masquerade():
            return [genex("masq", {})]


def _verdict(code: int, chain: str = "") -> Any:
    attributes: list[tuple[str, Any]] = [("NFTA_VERDICT_CODE", code)]
    if chain:
        attributes.append(("NFTA_VERDICT_CHAIN", chain))
    return genex("immediate", {"dreg": _VERDICT, "data": {"attrs": [("NFTA_DATA_VERDICT", {"attrs": attributes})]}})


def _value(value: bytes) -> Any:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}


def _set(register: int, value: bytes) -> Any:
    return genex("immediate", {"dreg": register, "data": _value(value)})


def _meta(key: int) -> Any:
    return genex("meta", {"key": key, "dreg": _R1})


def _load(base: int, offset: int, length: int) -> Any:
    return genex("payload", {"dreg": _R1, "base": base, "offset": offset, "len": length})


def _compare(operator: int, value: bytes) -> Any:
    return genex("cmp", {"sreg": _R1, "op": operator, "data": _value(value)})


def _mask(mask: bytes) -> Any:
    width = len(mask)
    return genex("bitwise", {"sreg": _R1, "dreg": _R1, "len": width, "mask": _value(mask), "xor": _value(bytes(width))})


def _between(first: bytes, last: bytes) -> list[Any]:
    return [_compare(_EQ, first)] if first == last else [_compare(_GTE, first), _compare(_LTE, last)]


def _name(key: int, link: str, *, prefix: bool, inverted: bool) -> list[Any]:
    text = link.encode()
    return [_meta(key), _compare(_NEQ if inverted else _EQ, text if prefix else text.ljust(_NAME_BYTES, b"\0"))]


def _flags(key: int, bits: int) -> list[Any]:
    loaded = genex("ct", {"key": key, "dreg": _R1})
    return [loaded, _mask(struct.pack("=I", bits)), _compare(_NEQ, bytes(4))]


def _address(which: str, network: IPv4Network | IPv6Network, *, inverted: bool) -> list[Any]:
    offset, length = _ADDRESSES[network.version, which]
    version = [_meta(_NFPROTO), _compare(_EQ, bytes((_NFPROTO_OF[network.version],)))]
    loaded = [*version, _load(_NETWORK_HEADER, offset, length)]
    if network.prefixlen < network.max_prefixlen:
        loaded.append(_mask(network.netmask.packed))
    return [*loaded, _compare(_NEQ if inverted else _EQ, network.network_address.packed)]


def _pair_in(pairs: str, version: int) -> list[Any]:
    """Source and destination lie side by side in the header of either version."""
    offset, length = _ADDRESSES[version, "source"]
    of_version = [_meta(_NFPROTO), _compare(_EQ, bytes((_NFPROTO_OF[version],)))]
    return [*of_version, _load(_NETWORK_HEADER, offset, 2 * length), genex("lookup", {"set": pairs, "sreg": _R1})]
