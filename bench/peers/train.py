"""A training step of a language model in plain PyTorch, driven line by line so that a benchmark can alternate between
programs.

It prints {"ready": true, ...} once it is built. Then each line `step` on stdin runs one step on fresh random tokens and
prints {"seconds", "loss", "peak_rss_bytes"}; `quit` or the end of the input ends it. Seconds cover forward, backward,
clipping and AdamW, not the making of the tokens.

    printf 'step\nstep\nquit\n' | /usr/bin/python3 bench/peers/train.py --family gpt2 --dtype bf16 --threads 2
"""

import argparse
import contextlib
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F

from gpt2 import GPT2
from llama import Llama

FAMILIES = {"gpt2": GPT2, "llama": Llama}
SIZES = {"layers": 12, "width": 768, "heads": 12, "hidden": 2048, "vocab": 50257, "batch": 4, "seq": 256}


def make_optimizer(model):
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": 0.1},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95))


def train_step(model, optimizer, autocast, ids, targets):
    with autocast():
        logits = model(ids)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=sorted(FAMILIES), default="gpt2")
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16", help="bf16 is autocast, weights stay fp32")
    for name, value in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--tied", type=int, default=0, help="1: the head is the table of embeddings (GPT-2's always is)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the model (PyTorch 2)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def say(value):
    print(json.dumps(value), flush=True)


def main():
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1337)
    model = FAMILIES[options.family](**vars(options))
    optimizer = make_optimizer(model)
    parameters = sum(weight.numel() for weight in model.parameters())
    if options.compile:
        model = torch.compile(model)

    def autocast():
        if options.dtype == "bf16":
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    say({"ready": True, "torch": torch.__version__, "threads": torch.get_num_threads(), "parameters": parameters})
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        if line.strip() != "step":
            sys.exit(f"unknown command {line.strip()!r}: expected step or quit")
        tokens = torch.randint(0, options.vocab, (options.batch, options.seq + 1))
        ids, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        start = time.perf_counter()
        loss = train_step(model, optimizer, autocast, ids, targets)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        say({"seconds": seconds, "loss": loss, "peak_rss_bytes": peak})


if __name__ == "__main__":
    main()
