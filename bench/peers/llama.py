"""LLaMA in plain PyTorch, the way its authors published it, with rotary positions over halves as Hugging Face has them."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from attention import causal_attention


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).type_as(x) * self.weight


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = RMSNorm(width), RMSNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x, cos, sin):
        batch, length, width = x.shape
        split = (batch, length, self.heads, width // self.heads)
        normed = self.norm_1(x)
        q, k, v = (part(normed).view(split).transpose(1, 2) for part in (self.query, self.key, self.value))
        y = causal_attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + self.out(y.transpose(1, 2).contiguous().view(batch, length, width))
        normed = self.norm_2(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class Llama(nn.Module):
    def __init__(self, layers, width, heads, vocab, hidden, tied, **_):
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.norm = RMSNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        if tied:
            self.head.weight = self.embed.weight
        for weight in self.parameters():
            if weight.dim() >= 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, ids):
        x = self.embed(ids)
        size = x.shape[-1] // self.heads
        angles = torch.outer(torch.arange(ids.shape[1]).float(), 10000 ** (-torch.arange(0, size, 2).float() / size))
        cos, sin = (torch.cat((part, part), dim=-1) for part in (angles.cos(), angles.sin()))
        for block in self.blocks:
            x = block(x, cos.type_as(x), sin.type_as(x))
        return self.head(self.norm(x))
