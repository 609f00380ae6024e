# SPDX-License-Identifier: Apache-2.0
"""The hook as a gRPC server on a unix socket: KubeVirt's sidecar versions, and its plugin interface.

Needs the extra ``kubevirt`` (grpcio and protobuf). A VM that is not concerned is answered whatever the others
wait for: they share neither a thread nor a lock with it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import grpc

from vsmmu.errors import HostLacks, InputRefused, PermissionRefused, UsageError, VsmmuError, error_of
from vsmmu.kubevirt.concern import is_concerned
from vsmmu.kubevirt.facts import FactsReader
from vsmmu.kubevirt.hook import mutate, passed_through, too_late
from vsmmu.kubevirt.protocol import CALLBACKS, INFO, PLUGIN, VERSIONS, message
from vsmmu.kubevirt.vmi import MAX_VMI_BYTES
from vsmmu.machine.domain.elements import MAX_DOMAIN_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vsmmu.host.facts import Host
    from vsmmu.kubevirt.hook import HookOutcome
    from vsmmu.kubevirt.settings import HookSettings

__all__ = ["HookServer"]

_NAME: Final = "vsmmu"
_HOOK_POINT: Final = "OnDefineDomain"
#: The largest domain that libvirt takes, the largest VMI that the hook reads, and what is around them.
_MAX_MESSAGE: Final = MAX_DOMAIN_BYTES + MAX_VMI_BYTES + (1 << 16)
#: Calls about concerned VMs that may wait at the same time, and those of them that may compute.
_WAITING: Final = 128
_COMPUTING: Final = 4
#: Threads that are left for everything else when so many wait.
_FREE: Final = 32
#: Calls at the same time, each with a message in memory; gRPC refuses more (RESOURCE_EXHAUSTED).
_MOST_CALLS: Final = 256
#: Seconds for a living server to take a connection.
_KNOCK: Final = 2.0
#: Seconds for another server to start beside it.
_ALONE: Final = 1.0
#: Seconds for the message of a call to come: it holds a thread, and gRPC itself would wait for ever.
_PATIENCE: Final = 5.0
#: Of the time that a caller has: the answer takes some, too.
_SHARE: Final = 0.9
_CODES: Final = {
    "hook-timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
    "hook-busy": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "bug": grpc.StatusCode.INTERNAL,
}
_STATUSES: Final[tuple[tuple[type[VsmmuError], grpc.StatusCode], ...]] = (
    (PermissionRefused, grpc.StatusCode.PERMISSION_DENIED),
    (InputRefused, grpc.StatusCode.INVALID_ARGUMENT),
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT),
    (HostLacks, grpc.StatusCode.UNAVAILABLE),
    (VsmmuError, grpc.StatusCode.FAILED_PRECONDITION),
)

_Call = Callable[[Any, Any], Any]
#: A method: the package of its messages, the name of its request, and what answers it.
_Method = tuple[str, str, _Call]


class HookServer:
    """Serves every interface at one socket until it is stopped, or virt-launcher says Shutdown.

    :param settings: what the administrator set; annotations of each VM come on top.
    :param log: takes one line at a time.
    :param priority: virt-launcher calls hooks with a higher one first.
    """

    def __init__(self, settings: HookSettings, log: Callable[[str], None], priority: int = 0) -> None:
        self._settings = settings
        self._log = log
        self._priority = priority
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.max_send_message_length", _MAX_MESSAGE),
        ]
        self._facts = FactsReader()
        self._places = threading.Semaphore(_WAITING)
        self._turn = threading.Semaphore(_COMPUTING)
        self._server = grpc.server(
            ThreadPoolExecutor(_WAITING + _FREE), options=options, maximum_concurrent_rpcs=_MOST_CALLS
        )
        self._server.add_generic_rpc_handlers(tuple(self._handlers()))

    def start(self, path: Path) -> None:
        """Listen; a socket that another server has left behind is taken over, one that lives is not.

        :raise HostLacks: ``hook-socket``: it cannot be made, or another server listens there.
        :raise InputRefused: ``hook-socket``: something else is there.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(path.parent):
                self._take(path)
        except (OSError, RuntimeError) as error:
            raise HostLacks(
                "hook-socket",
                "cannot listen",
                where=str(path),
                why=str(error)[:200],
                next="mount the directory of KubeVirt's hook sockets there",
            ) from None

    def _take(self, path: Path) -> None:
        if _lives(path):
            raise HostLacks(
                "hook-socket",
                "another server listens there",
                where=str(path),
                next="let it serve, or stop it first; or name another place for the socket",
            )
        if os.path.lexists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
            raise InputRefused(
                "hook-socket",
                "there is something else at this place",
                where=str(path),
                next="remove it, or name another place for the socket",
            )
        path.unlink(missing_ok=True)
        self._server.add_insecure_port(f"unix:{quote(os.fsencode(path))}")
        self._server.start()

    def wait(self) -> None:
        """Return when the server has stopped."""
        self._server.wait_for_termination()
        self._facts.close()

    def stop(self, grace: float = 1.0) -> None:
        """Take no more calls, and let those that run end within ``grace`` seconds."""
        self._server.stop(grace)

    def _handlers(self) -> list[Any]:
        handlers = [_service(f"{INFO}.Info", {"Info": (INFO, "InfoParams", self._info)})]
        for version in VERSIONS:
            package = CALLBACKS[version]
            methods: dict[str, _Method] = {
                _HOOK_POINT: (package, "OnDefineDomainParams", self._on_define_domain(package))
            }
            if version == "v1alpha3":
                methods["Shutdown"] = (package, "ShutdownParams", self._shutdown)
            handlers.append(_service(f"{package}.Callbacks", methods))
        mutate_domain = (PLUGIN, "MutateDomainRequest", self._mutate_domain)
        handlers.append(_service(f"{PLUGIN}.DomainHookService", {"MutateDomain": mutate_domain}))
        return handlers

    def _info(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - gRPC's signature
        point = message(INFO, "HookPoint")(name=_HOOK_POINT, priority=self._priority)
        return message(INFO, "InfoResult")(name=_NAME, hookPoints=[point], versions=VERSIONS)

    def _on_define_domain(self, package: str) -> _Call:
        result = message(package, "OnDefineDomainResult")

        def call(request: Any, context: Any) -> Any:
            return result(domainXML=self._mutate(request.domainXML, request.vmi, context))

        return call

    def _mutate_domain(self, request: Any, context: Any) -> Any:
        if request.domain_type not in ("", "libvirt"):
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"domains of type {request.domain_type!r} are not known"
            )
        domain = self._mutate(request.domain, request.vmi, context)
        return message(PLUGIN, "MutateDomainResponse")(domain=domain)

    def _shutdown(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - gRPC's signature
        self.stop()
        return message(CALLBACKS["v1alpha3"], "ShutdownResult")()

    def _mutate(self, domain: bytes, vmi: bytes, context: Any) -> bytes:
        if not is_concerned(domain, vmi):
            return domain
        seconds = min(self._settings.seconds, context.time_remaining() * _SHARE)
        try:
            outcome = self._in_turn(domain, vmi, seconds)
        except Exception as failure:
            error = error_of(failure)
            self._log(str(error))
            status = _CODES.get(error.code) or next(
                status for kind, status in _STATUSES if isinstance(error, kind)
            )
            context.abort(status, str(error))
            raise  # abort() raises; this is for the type checker
        for line in outcome.messages:
            self._log(line)
        return outcome.domain

    def _in_turn(self, domain: bytes, vmi: bytes, seconds: float) -> HookOutcome:
        """What the hook does to a domain; whoever waits for facts lets others compute.

        :param seconds: after which to give up.
        :raise VsmmuError: as :func:`mutate`; ``hook-timeout``; ``hook-busy``.
        """
        deadline = time.monotonic() + seconds

        def load(path: str) -> Host:
            self._turn.release()
            try:
                return self._facts.load(path, deadline - time.monotonic())
            finally:
                self._turn.acquire()

        if not self._places.acquire(blocking=False):
            why = f"{_WAITING} calls are waiting already"
            busy = HostLacks("hook-busy", why, next="start the VM again later")
            return self._not_begun(domain, busy)
        try:
            if not self._turn.acquire(timeout=max(seconds, 0)):
                return self._not_begun(domain, too_late(seconds))
            try:
                return mutate(domain, vmi, self._settings, load)
            finally:
                self._turn.release()
        finally:
            self._places.release()

    def _not_begun(self, domain: bytes, error: VsmmuError) -> HookOutcome:
        if self._settings.on_failure == "fail":
            raise error
        return passed_through(domain, error)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other server start in this directory meanwhile, for two would take the same dead socket over.

    A file beside the socket would be taken for one more hook. Whoever holds the lock for long is not heeded.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + _KNOCK + _ALONE
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _lives(path: Path) -> bool:
    """Whether somebody accepts connections at a socket; whoever is too busy to do so lives, too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(_KNOCK)
        try:
            caller.connect(str(path))
        except TimeoutError:
            return True
        except OSError as error:
            return error.errno == errno.EAGAIN  # its queue is full
        return True


def _with_patience(call: _Call) -> _Call:
    """The method for a stream that has one message, which looks the same to a client, but can be given up."""

    def answer(requests: Any, context: Any) -> Any:
        late = threading.Timer(_PATIENCE, context.cancel)
        late.daemon = True
        late.start()
        try:
            request = next(requests, None)
        finally:
            late.cancel()
        if request is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a call has one message, and this has none")
        return call(request, context)

    return answer


def _service(name: str, methods: dict[str, _Method]) -> Any:
    handlers: dict[str, Any] = {
        method: grpc.stream_unary_rpc_method_handler(
            _with_patience(call),
            request_deserializer=message(package, request).FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )
        for method, (package, request, call) in methods.items()
    }
    return grpc.method_handlers_generic_handler(name, handlers)
