"""`python -m testcluster.fleet`: play collectors and training jobs for the nodes and pods of a test cluster."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from agent.cli.client import LOOPBACK, data_directory
from agent.inventory.kube_api import KubeApi
from collectors.errors import FixConfiguration, WatchError
from collectors.sending.endpoint import Endpoint
from testcluster.admin import Admin
from testcluster.fleet.run import FleetSettings, RunningFleet
from testcluster.fleet.training import TIMEOUT_SECONDS


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 ended as told, 1 could not be started (one line on standard error says why)."""
    parser = argparse.ArgumentParser(prog="python -m testcluster.fleet", description=__doc__)
    parser.add_argument("--url", required=True, help="of the API server, on loopback")
    parser.add_argument("--token-file", required=True, type=Path, help="token of a kubelet of all nodes")
    parser.add_argument("--ca-file", required=True, type=Path, help="CA of the API server")
    parser.add_argument("--cluster", default="default", help="as the agent's inventory.cluster has it")
    parser.add_argument("--agent", required=True, metavar="URL", help="the agent's address")
    parser.add_argument("--agent-token-file", required=True, type=Path, help="token with the role ingest")
    parser.add_argument("--directory", type=Path, help="where the socket for `watchstander inject` lies")
    parser.add_argument("--logs", type=Path, help="write kernel and training logs there too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nccl-timeout", type=float, default=TIMEOUT_SECONDS, metavar="SECONDS", help="of the jobs")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        if urlsplit(options.url).hostname not in LOOPBACK:
            raise FixConfiguration(f"--url {options.url}: not on loopback; a fleet plays beside a test cluster only")
        settings = FleetSettings(
            KubeApi(options.url, options.token_file, options.ca_file),
            Admin(options.url, options.token_file.read_text().strip(), options.ca_file),
            options.cluster,
            Endpoint.parse(options.agent, options.agent_token_file),
            options.directory or data_directory(),
            options.logs,
            options.seed,
            options.nccl_timeout,
        )
        RunningFleet(settings, _say).run(stop)
    except (WatchError, OSError) as error:
        sys.stderr.write(f"fleet: {error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"fleet: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
