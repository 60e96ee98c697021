"""`haproxy.disable`: a server behind HAProxy to one that gets no connections at all; established ones are cut."""

from typing import ClassVar

from actions.endpoints.haproxy_drain import HaproxyDrain


class HaproxyDisable(HaproxyDrain):
    """Puts a server in maintenance and ends its sessions; undo sets it back to what it was."""

    name = "haproxy.disable"
    example = '{ do = "haproxy.disable", backend = "inference", server = "gpu-3", hold = "24h" }'
    state: ClassVar[str] = "maint"
    cuts: ClassVar[bool] = True
