"""Addresses of requests as those of the domain."""

from protos.common.v1 import types_pb2 as common
from server.domain.address import Address


def to_address(address: common.Address) -> Address:
    return Address(
        name=address.name,
        line1=address.line1,
        line2=address.line2,
        city=address.city,
        postal_code=address.postal_code,
        country=address.country,
    )
