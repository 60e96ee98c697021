"""The page of NVIDIA's DCGM exporter to `resource.sample` events, one per device."""

import math
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import digest, known, make_event, printable, seconds_us
from engine.model import Event, Json

PREFIX = "DCGM_"
_GAUGES = {
    "DCGM_FI_DEV_GPU_TEMP": "temperature_c",
    "DCGM_FI_DEV_MEMORY_TEMP": "memory_temperature_c",
    "DCGM_FI_DEV_POWER_USAGE": "power_w",
    "DCGM_FI_DEV_SM_CLOCK": "sm_clock_mhz",
}
_COUNTS = {
    "DCGM_FI_DEV_XID_ERRORS": "xid",
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": "ecc_errors",
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": "remapped_rows",
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": "remap_failures",
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": "pcie_replays",
}


class Dcgm(Producer):
    """NVIDIA's DCGM exporter: its page in the Prometheus text format. Each device (or MIG instance) is one event.

    The exporter only answers; somebody has to fetch. `xid` is the last fault and stays until the driver is loaded anew.
    `node` is the exporter's host, which in Kubernetes is the node. `gpu_memory` is the used share of used and free.
    """

    name = "dcgm"
    title = "NVIDIA DCGM exporter"
    types = ("resource.sample",)
    connect = """
Any fetcher that posts the page as it is will do; `curl` from a systemd timer on the GPU host, every 15 seconds:

```sh
curl -sf http://localhost:9400/metrics |
  curl -sf --data-binary @- -H "Authorization: Bearer $(cat /etc/halon-token)" -H "Content-Type: text/plain" \\
    http://halon.internal:8480/events/dcgm
```

or, where there is a broker, `curl -sf http://localhost:9400/metrics | mosquitto_pub -q 1 -t gpu/$(hostname) -s`.
Where Prometheus watches the devices already, alert rules on `DCGM_FI_DEV_XID_ERRORS` and its kin come by Alertmanager.
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        try:
            text = message.body.decode()
            devices = _devices(text)
        except UnicodeDecodeError as error:
            yield Malformed(f"not UTF-8: {error.reason} at byte {error.start}")
            return
        except (ValueError, KeyError, IndexError) as error:
            yield Malformed(f"not the text format of Prometheus: {printable(str(error)) or type(error).__name__}")
            return
        if not devices:
            yield Malformed(f"no metric on the page begins with `{PREFIX}` and names a `gpu`")
            return
        for device in devices.values():
            yield _sample(message, device)


class _Device:
    """What the page says of one device."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.values: dict[str, float] = {}
        self.time_s: float | None = None


def _devices(text: str) -> dict[tuple[str, str, str], _Device]:
    found: dict[tuple[str, str, str], _Device] = {}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith(PREFIX):
            continue
        for sample in family.samples:
            labels = sample.labels
            if "gpu" not in labels or not math.isfinite(sample.value):
                continue
            key = labels.get("Hostname", ""), labels["gpu"], labels.get("GPU_I_ID", "")
            device = found.setdefault(key, _Device(labels))
            # The parser gives every counter the ending that OpenMetrics wants
            device.values[sample.name.removesuffix("_total")] = sample.value
            if sample.timestamp is not None:
                device.time_s = float(sample.timestamp)
    return found


def _sample(message: Message, device: _Device) -> Event | Malformed:
    labels, values = device.labels, device.values
    host = printable(labels.get("Hostname", ""))
    number = "/".join(each for each in (labels["gpu"], labels.get("GPU_I_ID", "")) if each)
    measured: dict[str, Json] = {field: values[name] for name, field in _GAUGES.items() if name in values}
    measured |= {field: int(values[name]) for name, field in _COUNTS.items() if name in values}
    subject = f"{host}/{number}" if host else number
    time_us = seconds_us(device.time_s)
    return make_event(
        message,
        f"gpu {number}",
        # A page without times has nothing else to tell two equal ones apart by
        id=digest(message.source, subject, str(time_us or message.arrived_us), repr(sorted(values.items()))),
        type="resource.sample",
        subject=subject,
        time_us=time_us,
        data=known(
            host=host,
            node=host,
            device=number,
            gpu_util=_utilisation(values),
            gpu_memory=_memory(values),
            **measured,
            gpu=printable(labels.get("modelName", "")),
            uuid=printable(labels.get("UUID", "")),
            namespace=printable(labels.get("namespace", labels.get("exported_namespace", ""))),
            pod=printable(labels.get("pod", labels.get("exported_pod", ""))),
            container=printable(labels.get("container", labels.get("exported_container", ""))),
        ),
    )


def _utilisation(values: dict[str, float]) -> float | None:
    """In use, as a share: profiling metrics are shares already, the others are per cent."""
    if "DCGM_FI_DEV_GPU_UTIL" in values:
        return round(values["DCGM_FI_DEV_GPU_UTIL"] / 100, 6)
    return values.get("DCGM_FI_PROF_GR_ENGINE_ACTIVE")


def _memory(values: dict[str, float]) -> float | None:
    used, free = values.get("DCGM_FI_DEV_FB_USED"), values.get("DCGM_FI_DEV_FB_FREE")
    if used is None or free is None or used + free <= 0:
        return None
    return round(used / (used + free), 6)
