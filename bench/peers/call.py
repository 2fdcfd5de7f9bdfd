"""The cost of one operator call in PyTorch: each line on stdin times a batch of calls and prints {"ns": per call}."""

import json
import sys
import time

import torch

torch.set_num_threads(1)
CALLS = int(sys.argv[1])
x, y = torch.ones(3), torch.ones(3)
add = torch.add
print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    grad = line.strip() != "noGrad"
    with torch.set_grad_enabled(grad):
        start = time.perf_counter_ns()
        for _ in range(CALLS):
            add(x, y)
        elapsed = time.perf_counter_ns() - start
    print(json.dumps({"ns": elapsed / CALLS}), flush=True)
