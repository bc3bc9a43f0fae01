"""Maps addresses of requests to those of the domain."""

from core.domain.address import Address
from core.domain.text import as_stored
from protos.common.v1 import types_pb2 as common


def to_address(address: common.Address) -> Address:
    return Address(
        name=as_stored(address.name),
        line1=as_stored(address.line1),
        line2=as_stored(address.line2),
        city=as_stored(address.city),
        postal_code=as_stored(address.postal_code),
        country=as_stored(address.country),
    )
