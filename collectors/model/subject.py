"""What a reading, an event or a finding is about."""

from enum import StrEnum

import msgspec


class SubjectKind(StrEnum):
    """The kinds of thing that Watchstander tells apart."""

    CLUSTER = "cluster"
    RACK = "rack"
    SWITCH = "switch"
    NODE = "node"
    GPU = "gpu"
    NIC = "nic"
    LINK = "link"
    POD = "pod"
    JOB = "job"
    RANK = "rank"
    SERVICE = "service"


class Subject(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A stable key: two readings are about the same thing if and only if their subjects are equal.

    Names are for people and live in `SubjectFacts`; ids outlast them (node UID, GPU UUID, owner UID and attempt).
    """

    cluster: str
    kind: SubjectKind
    id: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.kind.value}/{self.id}"


class SubjectFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a collector knows about one subject besides its readings; absent means unknown, never a guess.

    `attributes` in use, by kind of subject:

    - gpu: `index` (NVML index on the node), `uuid`, `pci_bus_id` (`0000:18:00.0`, lower case), `model`,
      `power_limit_watts`, `slowdown_celsius`, `memory_total_bytes`; of who works on it, until 120 s after it has gone:
      `job` (id of the job that holds it), `rank`, `pid` (on the node), and in Kubernetes `pod_uid`, `namespace`, `pod`,
      `container`; of a GPU that several pods share `pods` instead (`namespace/pod`, with commas between)
    - job: `world_size`
    - node: `boot_id`, `driver`
    """

    subject: Subject
    name: str
    node: Subject | None = None
    attributes: dict[str, str] = {}
