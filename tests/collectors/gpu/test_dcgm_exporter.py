"""The dcgm-exporter source against a real HTTP server."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import FixConfiguration, RetryLater
from collectors.gpu import dcgm_exporter
from collectors.gpu.dcgm_exporter import COUNTERS, GAUGES, DcgmExporter
from collectors.gpu.prometheus_text import read_samples
from collectors.model import CATALOGUE, COUNTER_ABSENT, EventKind, MetricType, Subject, SubjectKind

NODE = Subject("c", SubjectKind.NODE, "n1")
ALL = tuple(CATALOGUE)
OLD = (
    'gpu="0",UUID="GPU-a0",pci_bus_id="00000000:B1:00.0",device="nvidia0",modelName="NVIDIA H100",Hostname="n1",'
    'DCGM_FI_DRIVER_VERSION="580.95",container="cuda",namespace="default",pod="train-0"'
)
NEW = 'gpu="1",uuid="GPU-a1",pci_bus_id="00000000:b2:00.0",hostname="n1",exported_pod="train-1",pod="exporter"'
PAGE = f"""# HELP DCGM_FI_DEV_SM_CLOCK SM clock frequency (in MHz).
# TYPE DCGM_FI_DEV_SM_CLOCK gauge
DCGM_FI_DEV_SM_CLOCK{{{OLD}}} 1755
DCGM_FI_DEV_SM_CLOCK{{{NEW}}} 1980
DCGM_FI_DEV_GPU_UTIL{{{OLD}}} 97
DCGM_FI_DEV_POWER_USAGE{{{OLD}}} 409.692000
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{OLD}}} 319159391
DCGM_FI_DEV_FB_USED{{{OLD}}} 1000
DCGM_FI_DEV_FB_RESERVED{{{OLD}}} 24
DCGM_FI_DEV_MEMORY_TEMP{{{OLD}}} 0
DCGM_FI_DEV_POWER_VIOLATION{{{OLD}}} 1500000
DCGM_FI_DEV_PCIE_REPLAY_COUNTER{{{OLD}}} 9223372036854775794
DCGM_FI_DEV_XID_ERRORS{{{OLD},err_code="31",err_msg="a \\"page\\" fault"}} 31
DCGM_FI_DEV_GPU_UTIL{{{OLD},GPU_I_PROFILE="1g.6gb",GPU_I_ID="6"}} 3
node_load1 0.5
"""


class Exporter:
    """An HTTP server that answers with `page`, `status`, after `delay` seconds between its two halves."""

    def __init__(self) -> None:
        self.page, self.status, self.delay = PAGE, 200, 0.0
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(exporter.status)
                self.end_headers()
                half = len(exporter.page) // 2
                try:
                    self.wfile.write(exporter.page[:half].encode())
                    self.wfile.flush()
                    exporter.stop.wait(exporter.delay)
                    self.wfile.write(exporter.page[half:].encode())
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, *_):
                pass

        self.stop = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/metrics"

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def exporter():
    exporter = Exporter()
    yield exporter
    exporter.close()


@pytest.fixture
def source(exporter):
    return DcgmExporter(NODE, "node-1", exporter.url, timeout_seconds=5)


def test_every_field_leads_to_a_metric_of_the_catalogue_of_the_same_type():
    read = {metric: MetricType.GAUGE for metric, _ in GAUGES.values()}
    read |= dict.fromkeys(COUNTERS.values(), MetricType.COUNTER)
    assert read == {name: CATALOGUE[name].type for name in read}


def test_values_come_in_base_units(source):
    source.scrape(1)
    look = source.look(ALL, 2)
    assert [gpu.id for gpu in look.gpus] == ["GPU-a0", "GPU-a1"]
    assert look.gauges["gpu_sm_clock_hertz"] == [1.755e9, 1.98e9]
    assert look.gauges["gpu_utilization_ratio"][0] == 0.97
    assert look.gauges["gpu_power_watts"][0] == 409.692
    assert look.gauges["gpu_memory_used_bytes"][0] == 1024 * 2**20
    assert look.counters["gpu_energy_joules_total"] == [319159391, COUNTER_ABSENT]
    assert look.counters["gpu_power_violation_seconds_total"][0] == 1_500_000


def test_blank_values_and_missing_sensors_are_absent(source):
    source.scrape(1)
    look = source.look(ALL, 2)
    assert "gpu_pcie_replays_total" not in look.counters
    assert "gpu_memory_temperature_celsius" not in look.gauges


def test_both_generations_of_labels_give_facts(source):
    source.scrape(1)
    old, new = source.facts()
    assert old.attributes == {
        "index": "0",
        "uuid": "GPU-a0",
        "pci_bus_id": "0000:b1:00.0",
        "model": "NVIDIA H100",
        "driver": "580.95",
        "namespace": "default",
        "pod": "train-0",
        "container": "cuda",
    }
    assert (new.subject.id, new.attributes["pci_bus_id"], new.attributes["pod"]) == (
        "GPU-a1",
        "0000:b2:00.0",
        "train-1",
    )


def test_the_values_of_one_scrape_are_told_once(source):
    source.scrape(1)
    assert source.look(("gpu_power_watts",), 2).gauges
    assert source.look(("gpu_sm_clock_hertz",), 2).gauges
    assert not source.look(("gpu_power_watts", "gpu_sm_clock_hertz"), 3).gauges
    source.scrape(4)
    assert source.look(("gpu_power_watts",), 5).gauges


def test_the_xid_gauge_makes_an_event_only_when_it_changes(source, exporter):
    source.scrape(1)
    source.scrape(2)
    assert source.events() == []
    exporter.page = PAGE.replace('fault"} 31', 'fault"} 79')
    source.scrape(3)
    source.scrape(4)
    (event,) = source.events()
    assert (event.kind, event.subject.id, event.time_ns, event.values) == (EventKind.XID, "GPU-a0", 3, {"code": 79.0})
    exporter.page = PAGE.replace('fault"} 31', 'fault"} 0')
    source.scrape(5)
    assert source.events() == []


def test_an_answer_that_is_no_page_is_to_be_tried_again(source, exporter):
    exporter.status = 503
    with pytest.raises(RetryLater, match="answers 503"):
        source.scrape(1)


def test_nobody_listening_is_to_be_tried_again(source, exporter):
    exporter.close()
    with pytest.raises(RetryLater, match="cannot be read"):
        source.scrape(1)


def test_a_page_without_end_is_cut_off(source, exporter, monkeypatch):
    monkeypatch.setattr(dcgm_exporter, "MOST_BYTES", 1000)
    with pytest.raises(RetryLater, match="no dcgm-exporter's page"):
        source.scrape(1)


def test_an_exporter_that_hangs_is_given_up(exporter):
    exporter.delay = 30
    source = DcgmExporter(NODE, "node-1", exporter.url, timeout_seconds=0.1)
    with pytest.raises(RetryLater, match="cannot be read"):
        source.scrape(1)


def test_the_thread_scrapes_and_ends(exporter):
    source = DcgmExporter(NODE, "node-1", exporter.url, interval_seconds=0.01)
    source.start()
    for _ in range(500):
        if source.facts():
            break
        time.sleep(0.01)
    source.close()
    assert len(source.facts()) == 2


@pytest.mark.parametrize("url", ["", "ftp://x/metrics", "127.0.0.1:9400"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(FixConfiguration, match="write http://host:9400/metrics"):
        DcgmExporter(NODE, "node-1", url)


@given(st.text(max_size=300))
def test_any_text_can_be_read(text):
    list(read_samples(text))


@given(st.integers(0, len(PAGE)))
def test_a_page_cut_anywhere_loses_at_most_its_last_sample(cut):
    whole = list(read_samples(PAGE))
    kept = list(read_samples(PAGE[:cut]))
    complete = PAGE[:cut].count("\n")
    before = list(read_samples("\n".join(PAGE.split("\n")[:complete])))
    assert kept[: len(before)] == before == whole[: len(before)]
    assert len(kept) <= len(before) + 1


@given(
    st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text(max_size=20).filter(lambda s: "\n" not in s))
)
def test_labels_come_back_as_they_were_written(labels):
    escaped = ",".join(k + '="' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for k, v in labels.items())
    assert [sample.labels for sample in read_samples(f"m{{{escaped}}} 1")] == [labels]
