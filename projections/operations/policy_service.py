"""PolicyService: who may call which RPC, as the contract says it."""

from core.rpc.typing import Context
from core.security.access import access_of, methods_of, role_number
from core.security.contract import SERVICES
from core.security.principal import CALLER
from protos.operations.v1 import policy_pb2 as pb
from protos.operations.v1.policy_pb2_grpc import PolicyServiceServicer

SERVICE = "operations.v1.PolicyService"


class Policy(PolicyServiceServicer):
    """Answers from the descriptors of all services, also of those that other processes serve."""

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Context) -> pb.GetPolicyResponse:
        rows = []
        for method in methods_of(SERVICES):
            access = access_of(method)
            rows.append(
                pb.PolicyRow(
                    method=f"{method.containing_service.full_name}/{method.name}",
                    role=role_number(access.role),
                    customer=access.customer,
                    reason=access.reason,
                    reason_if=access.reason_if,
                )
            )
        return pb.GetPolicyResponse(rows=sorted(rows, key=lambda row: row.method), enforced=CALLER.get() is not None)
