"""The GPUs of this node through a dcgm-exporter, where one runs already.

Units of the DCGM fields: MHz, MiB, mJ, %, W, °C. The violation counters are nanoseconds: DCGM passes NVML's number on,
and its header says ns since version 3; the exporter's own help text still says us. Labels came in three generations
(`UUID`, `modelName`, `Hostname`; `hostname` since 2026; `gpu_uuid`, `model_name` for other entities) and are read in
all of them, as are `exported_pod` and the like, which a Prometheus in between writes.
"""

import http.client
import logging
import math
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

from collectors.errors import FixConfiguration, RetryLater
from collectors.gpu.nvml_calls import short_bus_id
from collectors.gpu.prometheus_text import Sample, read_samples
from collectors.gpu.source import GpuLook
from collectors.model import COUNTER_ABSENT, Event, EventKind, EventSource, Subject, SubjectFacts, SubjectKind

MOST_BYTES = 8 << 20
"""16 GPUs with every field are 0.3 MB."""
BLANK = float(1 << 31)
"""DCGM writes "blank" as 0x7ffffff0 (int32) or 0x7ffffffffffffff0 (int64); no gauge of ours comes near, in its unit."""
BLANK_COUNT = 0x7FFFFFFFFFFFFFF0
MIB = float(1 << 20)
XID = "DCGM_FI_DEV_XID_ERRORS"
GAUGES: dict[str, tuple[str, float]] = {
    "DCGM_FI_DEV_GPU_UTIL": ("gpu_utilization_ratio", 0.01),
    "DCGM_FI_DEV_POWER_USAGE": ("gpu_power_watts", 1.0),
    "DCGM_FI_DEV_SM_CLOCK": ("gpu_sm_clock_hertz", 1e6),
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": ("gpu_clocks_event_reasons", 1.0),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": ("gpu_clocks_event_reasons", 1.0),
    "DCGM_FI_DEV_FB_USED": ("gpu_memory_used_bytes", MIB),
    "DCGM_FI_DEV_FB_TOTAL": ("gpu_memory_total_bytes", MIB),
    "DCGM_FI_DEV_GPU_TEMP": ("gpu_temperature_celsius", 1.0),
    "DCGM_FI_DEV_MEMORY_TEMP": ("gpu_memory_temperature_celsius", 1.0),
    "DCGM_FI_DEV_ROW_REMAP_PENDING": ("gpu_row_remap_pending", 1.0),
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": ("gpu_row_remap_failed", 1.0),
    "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": ("gpu_power_limit_watts", 1.0),
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": ("gpu_power_limit_watts", 1.0),
    "DCGM_FI_PROF_SM_ACTIVE": ("gpu_sm_active_ratio", 1.0),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": ("gpu_tensor_active_ratio", 1.0),
    XID: ("gpu_last_xid", 1.0),
}
"""Field, metric, factor. Of two fields of one metric the one named first counts."""
COUNTERS: dict[str, str] = {
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": "gpu_energy_joules_total",
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": "gpu_ecc_corrected_errors_total",
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": "gpu_ecc_uncorrected_errors_total",
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": "gpu_row_remaps_corrected_total",
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": "gpu_row_remaps_uncorrected_total",
    "DCGM_FI_DEV_POWER_VIOLATION": "gpu_power_violation_seconds_total",
    "DCGM_FI_DEV_THERMAL_VIOLATION": "gpu_thermal_violation_seconds_total",
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": "gpu_pcie_replays_total",
}
_RESERVED = "DCGM_FI_DEV_FB_RESERVED"
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Gpu:
    facts: SubjectFacts
    gauges: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    reserved: float = 0.0


@dataclass(frozen=True, slots=True)
class _Scrape:
    number: int
    gpus: dict[Subject, _Gpu]


class DcgmExporter:
    """A `GpuSource` over one exporter. A thread scrapes (`start`), so that a slow exporter holds up nothing.

    Each scrape's values are told once: the exporter refreshes them every 30 s by default, and telling them again would
    make old values look new.
    """

    def __init__(
        self, node: Subject, node_name: str, url: str, *, interval_seconds: float = 5.0, timeout_seconds: float = 2.0
    ) -> None:
        """`url` is the exporter's metrics page, `http://10.0.0.7:9400/metrics` say. Raises FixConfiguration."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FixConfiguration(f"dcgm-exporter address {url!r}: write http://host:9400/metrics")
        self._node, self._node_name = node, node_name
        self._secure, self._host = parts.scheme == "https", parts.hostname
        self._port, self._path = parts.port, (parts.path or "/metrics") + (f"?{parts.query}" if parts.query else "")
        self._interval_seconds, self._timeout_seconds = interval_seconds, timeout_seconds
        self._lock = threading.Lock()
        self._scrape = _Scrape(0, {})
        self._facts: tuple[SubjectFacts, ...] = ()
        self._told: dict[str, int] = {}
        self._last_xid: dict[Subject, float] = {}
        self._events: list[Event] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to scrape."""
        self._thread = threading.Thread(target=self._run, name="dcgm-exporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Scrape no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._timeout_seconds + 1)

    def facts(self) -> tuple[SubjectFacts, ...]:
        """The GPUs of the last scrape that succeeded."""
        with self._lock:
            return self._facts

    def events(self) -> list[Event]:
        """An Xid where the gauge of the last code changed between two scrapes; the same code twice does not show."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def look(self, metrics: tuple[str, ...], now_ns: int) -> GpuLook:
        """What scrapes have brought since each metric was last told."""
        with self._lock:
            scrape = self._scrape
        look = GpuLook(now_ns, tuple(scrape.gpus))
        for name in metrics:
            if self._told.get(name, 0) == scrape.number:
                continue
            self._told[name] = scrape.number
            if any(name in gpu.gauges for gpu in scrape.gpus.values()):
                look.gauges[name] = [gpu.gauges.get(name, math.nan) for gpu in scrape.gpus.values()]
            elif any(name in gpu.counters for gpu in scrape.gpus.values()):
                look.counters[name] = [gpu.counters.get(name, COUNTER_ABSENT) for gpu in scrape.gpus.values()]
        return look

    def scrape(self, now_ns: int) -> None:
        """Fetch and take in one page. Raises RetryLater where the exporter does not answer with one."""
        self._take_in(self._fetch(), now_ns)

    def _run(self) -> None:
        failed = False
        while not self._stop.is_set():
            try:
                self.scrape(time.time_ns())
                failed = False
            except RetryLater as error:
                if not failed:
                    _LOG.warning("%s", error)
                failed = True
            self._stop.wait(self._interval_seconds)

    def _fetch(self) -> str:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_seconds)
        where = f"dcgm-exporter at {self._host}:{connection.port}{self._path}"
        deadline = time.monotonic() + self._timeout_seconds
        try:
            connection.request("GET", self._path, headers={"Accept": "text/plain"})
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise RetryLater(f"{where} answers {answer.status}: check its address and that it runs on this node")
            body = bytearray()
            while more := answer.read1(1 << 16):
                body += more
                if len(body) > MOST_BYTES:
                    raise RetryLater(f"{where} sends more than {MOST_BYTES >> 20} MiB: this is no dcgm-exporter's page")
                if time.monotonic() > deadline:
                    raise RetryLater(f"{where} took longer than {self._timeout_seconds:g} s: it is overloaded or hangs")
        except (OSError, http.client.HTTPException) as error:
            raise RetryLater(f"{where} cannot be read ({error}): check its address and that it runs here") from error
        finally:
            connection.close()
        return body.decode("utf-8", "replace")

    def _take_in(self, page: str, now_ns: int) -> None:
        gpus: dict[Subject, _Gpu] = {}
        for sample in read_samples(page, "DCGM_FI_"):
            facts = self._about(sample.labels)
            if facts is not None:
                _read(gpus.setdefault(facts.subject, _Gpu(facts)), sample)
        events: list[Event] = []
        for subject, gpu in gpus.items():
            if "gpu_memory_used_bytes" in gpu.gauges:
                # NVML counts the driver's reserve as used.
                gpu.gauges["gpu_memory_used_bytes"] += gpu.reserved
            xid = gpu.gauges.get("gpu_last_xid")
            if xid is not None:
                before = self._last_xid.get(subject)
                self._last_xid[subject] = xid
                if before is not None and xid not in (before, 0.0):
                    bus = gpu.facts.attributes.get("pci_bus_id")
                    where = {"pci_bus_id": bus} if bus else {}
                    events.append(Event(EventKind.XID, subject, now_ns, EventSource.DCGM, {"code": xid}, where))
        with self._lock:
            self._scrape = _Scrape(self._scrape.number + 1, gpus)
            self._facts = tuple(gpu.facts for gpu in gpus.values())
            self._events.extend(events)

    def _about(self, labels: dict[str, str]) -> SubjectFacts | None:
        uuid = labels.get("UUID") or labels.get("uuid") or labels.get("gpu_uuid")
        if not uuid or labels.get("GPU_I_ID"):
            # Readings of a part of a GPU (MIG) are not the GPU's.
            return None
        said = {
            "index": labels.get("gpu") or labels.get("device", "").removeprefix("nvidia"),
            "uuid": uuid,
            "pci_bus_id": short_bus_id(labels.get("pci_bus_id", "")),
            "model": labels.get("modelName") or labels.get("model_name"),
            "driver": labels.get("DCGM_FI_DRIVER_VERSION"),
        }
        for name in ("namespace", "pod", "container"):
            said[name] = labels.get(f"exported_{name}") or labels.get(name)
        attributes = {key: value for key, value in said.items() if value}
        gpu = Subject(self._node.cluster, SubjectKind.GPU, uuid)
        return SubjectFacts(gpu, f"{self._node_name}/gpu{attributes.get('index', '')}", self._node, attributes)


def _read(gpu: _Gpu, sample: Sample) -> None:
    value = sample.value
    if not math.isfinite(value) or value < 0:
        return
    if sample.name in COUNTERS:
        if value < BLANK_COUNT and int(value) != 0x7FFFFFF0:
            gpu.counters[COUNTERS[sample.name]] = int(value)
    elif value >= BLANK - 16:
        return
    elif sample.name == _RESERVED:
        gpu.reserved = value * MIB
    elif sample.name in GAUGES:
        metric, factor = GAUGES[sample.name]
        if metric == "gpu_memory_temperature_celsius" and value == 0:
            # Cards without the sensor report 0.
            return
        first = next(name for name, (told, _) in GAUGES.items() if told == metric)
        if metric not in gpu.gauges or sample.name == first:
            gpu.gauges[metric] = value * factor
