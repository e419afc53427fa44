"""A program that writes where it may not, on the card that it is told: the driver logs Xid 31, and it dies of it.
Its one line is when, Unix s.

    python live_stray_write.py 1

An ordinary fault of an application, which leaves card and other programs as they are. Needs PyTorch with Triton.
"""

import sys
import time

import torch
import triton
import triton.language as tl


@triton.jit
def stray(pointer):
    tl.store(pointer + (1 << 40), 1.0)


if __name__ == "__main__":
    torch.cuda.set_device(int(sys.argv[1]))
    here = torch.zeros(1, device="cuda")
    stray.warmup(here, grid=(1,))
    torch.cuda.synchronize()
    print(time.time(), flush=True)
    stray[(1,)](here)
    torch.cuda.synchronize()
