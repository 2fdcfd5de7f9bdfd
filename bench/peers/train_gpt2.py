"""A training step of GPT-2 in plain PyTorch, the way nanoGPT does it, driven line by line so that a benchmark can
alternate between programs.

It prints {"ready": true, ...} once it is built. Then each line `step` on stdin runs one step on fresh random tokens and
prints {"seconds", "loss", "peak_rss_bytes"}; `quit` or the end of the input ends it. Seconds cover forward, backward,
clipping and AdamW, not the making of the tokens.

    printf 'step\nstep\nquit\n' | /usr/bin/python3 bench/peers/train_gpt2.py --preset gpt2-124m --dtype bf16 --threads 2
"""

import argparse
import contextlib
import json
import math
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

PRESETS = {"gpt2-124m": {"layers": 12, "width": 768, "heads": 12, "vocab": 50257}}
FUSED_ATTENTION = hasattr(F, "scaled_dot_product_attention")


class Attention(nn.Module):
    def __init__(self, width, heads, seq):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        if not FUSED_ATTENTION:
            self.register_buffer("mask", torch.tril(torch.ones(seq, seq)).view(1, 1, seq, seq))

    def forward(self, x):
        batch, length, width = x.shape
        split = (batch, length, self.heads, width // self.heads)
        q, k, v = (part.view(split).transpose(1, 2) for part in self.c_attn(x).split(width, dim=2))
        if FUSED_ATTENTION:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
            y = F.softmax(scores, dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, seq):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, seq)
        self.ln_2 = nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, width, heads, vocab, seq):
        super().__init__()
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(seq, width)
        self.blocks = nn.ModuleList(Block(width, heads, seq) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        self.lm_head.weight = self.wte.weight
        for name, weight in self.named_parameters():
            if weight.dim() >= 2:
                scale = 0.02 / math.sqrt(2 * layers) if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(weight, std=scale)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, ids, targets):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)


def make_optimizer(model):
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": 0.1},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95))


def train_step(model, optimizer, autocast, ids, targets):
    with autocast():
        loss = model(ids, targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=256)
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16", help="bf16 is autocast, weights stay fp32")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="gpt2-124m")
    for name in ("layers", "width", "heads", "vocab"):
        parser.add_argument(f"--{name}", type=int, help=f"{name}, in place of the preset's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def say(value):
    print(json.dumps(value), flush=True)


def main():
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1337)
    shape = {name: getattr(options, name) or value for name, value in PRESETS[options.preset].items()}
    model = GPT(**shape, seq=options.seq)
    optimizer = make_optimizer(model)

    def autocast():
        if options.dtype == "bf16":
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return contextlib.nullcontext()

    parameters = sum(weight.numel() for weight in model.parameters())
    say({"ready": True, "torch": torch.__version__, "threads": torch.get_num_threads(), "parameters": parameters})
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        if line.strip() != "step":
            sys.exit(f"unknown command {line.strip()!r}: expected step or quit")
        tokens = torch.randint(0, shape["vocab"], (options.batch, options.seq + 1))
        ids, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        start = time.perf_counter()
        loss = train_step(model, optimizer, autocast, ids, targets)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        say({"seconds": seconds, "loss": loss, "peak_rss_bytes": peak})


if __name__ == "__main__":
    main()
