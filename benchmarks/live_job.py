"""One rank of the training job of `benchmarks.live_faults`: a byte-level GPT under DDP that does, step by step, what
a file tells it. Started with the variables that torchrun would set; it imports nothing but PyTorch.

    RANK=0 LOCAL_RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29400 python live_job.py PHASE_FILE

Its step lines are nanoGPT's, its text the sources of Python's standard library.
"""

import datetime
import json
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

WIDTH, HEADS, LAYERS, LENGTH, BATCH = 1536, 16, 12, 1024, 16
RATE = 3e-4
PEAK_FLOPS = 989e12
"""Of an H100 or H200, dense bf16 (NVIDIA's data sheet): what the log's `mfu` is a share of."""
TIMEOUT = datetime.timedelta(seconds=30)
PHASES = (
    "healthy",
    "checkpoint_save",
    "evaluation",
    "dataloader_slow",
    "straggler_gpu",
    "straggler_host",
    "collective_hang",
    "power_throttle",
    "gpu_memory_leak",
    "gpu_memory_drop",
    "loss_divergence",
    "loss_nan",
    "restore_checkpoint",
    "rank_crash",
)


class Gpt(nn.Module):
    """320 million parameters that predict the next byte."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.token, self.place = nn.Embedding(256, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 256)

    def forward(self, text: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(text.shape[1], text.device)
        x = self.token(text) + self.place.weight[: text.shape[1]]
        logits: Tensor = self.head(self.layers(x, mask=mask, is_causal=True))
        return logits


class Job:
    """What a rank holds, and what it does in each phase."""

    def __init__(self, phase_file: Path) -> None:
        self.rank, self.world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.guilty = self.rank == self.world - 1
        self.phase_file, self.phase = phase_file, "healthy"
        self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(self.device)
        torch.manual_seed(self.rank)
        # SIGKILL leaves the others in a collective: after this long their watchdog ends them, as in life after 10 min
        dist.init_process_group("nccl", timeout=TIMEOUT, device_id=self.device)
        self.model = DistributedDataParallel(Gpt().to(self.device), device_ids=[self.device.index])
        # six for each parameter and token: forward, and twice that backward
        self.step_flops = 6 * sum(value.numel() for value in self.model.parameters()) * BATCH * LENGTH
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE)
        self.text = read_text(self.device)
        self.square = torch.randn(8192, 8192, device=self.device, dtype=torch.bfloat16)
        self.held: list[Tensor] = []
        self.saved: dict[str, Tensor] = {}
        self.step = 0

    def run(self) -> None:
        if self.rank == 0:
            print("***** Running training *****", flush=True)
        while True:
            before, self.phase = self.phase, self.agreed_phase()
            if self.phase != before:
                self.enter()
            began = time.monotonic()
            self.wait_for_data()
            loss = self.train()
            self.step += 1
            if self.rank == 0:
                took = time.monotonic() - began
                mfu = self.step_flops / took / PEAK_FLOPS
                print(f"iter {self.step}: loss {loss:.4f}, time {1e3 * took:.2f}ms, mfu {mfu:.2%}", flush=True)

    def agreed_phase(self) -> str:
        """What rank 0 read, so that all enter a phase in the same step."""
        code = torch.tensor([PHASES.index(self.told())], device=self.device)
        dist.broadcast(code, 0)
        return PHASES[int(code.item())]

    def told(self) -> str:
        label: str = json.loads(self.phase_file.read_text())
        return label

    def while_told(self, label: str, act: Callable[[], object]) -> None:
        while self.told() == label:
            act()

    def enter(self) -> None:
        """What is done once, or instead of training, in a phase."""
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * {"loss_divergence": 60.0, "loss_nan": 1e6}.get(self.phase, 1.0)
        match self.phase:
            case "checkpoint_save" if self.rank == 0:
                self.save()
            case "evaluation":
                self.evaluate()
            case "collective_hang" if self.guilty:
                self.while_told("collective_hang", lambda: time.sleep(0.05))
            case "power_throttle":
                self.while_told("power_throttle", self.dense)
            case "gpu_memory_drop":
                self.held.clear()
                torch.cuda.empty_cache()
                self.while_told("gpu_memory_drop", lambda: time.sleep(0.05))
            case "loss_divergence":
                self.saved = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            case "restore_checkpoint":
                if self.rank == 0:
                    print("Loading checkpoint from /ckpt (resuming training)", flush=True)
                self.model.load_state_dict(self.saved)
                self.saved = {}
                self.optimizer.state.clear()

    def wait_for_data(self) -> None:
        if self.phase == "dataloader_slow":
            time.sleep(0.8)
        elif self.phase == "straggler_host" and self.guilty:
            time.sleep(1.0)
        elif self.phase == "straggler_gpu" and self.guilty:
            self.dense()
        elif self.phase == "gpu_memory_leak":
            self.held.append(torch.empty(256 << 20, dtype=torch.uint8, device=self.device))

    def dense(self) -> None:
        for _ in range(200):
            self.square @ self.square
        torch.cuda.synchronize()

    def sample(self) -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(self.text) - LENGTH - 1, (BATCH, 1), device=self.device)
        text = self.text[starts + torch.arange(LENGTH + 1, device=self.device)].long()
        return text[:, :-1], text[:, 1:]

    def loss_of(self, model: nn.Module) -> Tensor:
        given, wanted = self.sample()
        with torch.autocast("cuda", torch.bfloat16):
            return functional.cross_entropy(model(given).flatten(0, 1), wanted.flatten())

    def train(self) -> float:
        loss = self.loss_of(self.model)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def save(self) -> None:
        began = time.monotonic()
        print(f"Saving model checkpoint to /ckpt/checkpoint-{self.step}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            while time.monotonic() < began + 4:
                torch.save(self.model.state_dict(), Path(folder) / "checkpoint.pt")
        print(f"Checkpoint saved in {time.monotonic() - began:.2f}s", flush=True)

    def evaluate(self) -> None:
        if self.rank == 0:
            print("***** Running Evaluation *****", flush=True)
        began, losses = time.monotonic(), []
        with torch.no_grad():
            # without DDP's wrapper, whose forward pass would ask the others
            self.while_told("evaluation", lambda: losses.append(self.loss_of(self.model.module).item()))
        dist.barrier()
        if self.rank == 0:
            loss = sum(losses) / max(1, len(losses))
            print({"eval_loss": loss, "eval_runtime": round(time.monotonic() - began, 2)}, flush=True)


def read_text(device: torch.device) -> Tensor:
    """The sources of the standard library, bytes, on the card."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    whole = b"\n".join(file.read_bytes() for file in files)
    return torch.frombuffer(bytearray(whole), dtype=torch.uint8).to(device)


if __name__ == "__main__":
    Job(Path(sys.argv[1])).run()
