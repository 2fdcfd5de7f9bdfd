// Hardware as its makers and the published runs describe it. A starting point: prices above all are to be replaced by one's
// own, in a file of the same form (hardware.ts reads it).
import type { Hardware } from './hardware.js'

const RENT_A100 = 'about $20 for 12.6 A100-hours of GPT-2 124M (llm.c); the electricity is in the rent'
const RENT_H100 = '$672 for 24 hours of 8 H100 (llm.c, GPT-2 1558M); the electricity is in the rent'
const NO_RENT = 'none published in what this catalogue is made from: give --price'

const dgx = { perMachine: 8, hostMemory: 2048, hostLink: 25 } as const

/**
 * peak: dense 16-bit; efficiency: what well-tuned runs reach of it (MPT and LLaMA on A100: 45 to 64 %; MPT on H100: 35 to
 * 46 %; GPT-2 by llm.c on H100: 41 to 50 %).
 */
export const catalogue: Readonly<Record<string, Hardware>> = {
  v100: {
    peak: 125,
    memory: 32,
    bandwidth: 900,
    link: 150,
    network: 12.5,
    ...dgx,
    hostMemory: 512,
    watts: 300,
    efficiency: 0.35,
    priceBasis: NO_RENT,
  },
  'a100-40gb': {
    peak: 312,
    memory: 40,
    bandwidth: 1555,
    link: 300,
    network: 100,
    ...dgx,
    watts: 400,
    efficiency: 0.45,
    price: 1.6,
    priceBasis: RENT_A100,
  },
  'a100-80gb': {
    peak: 312,
    memory: 80,
    bandwidth: 2039,
    link: 300,
    network: 200,
    ...dgx,
    watts: 400,
    efficiency: 0.5,
    price: 1.6,
    priceBasis: RENT_A100,
  },
  h100: {
    peak: 989,
    memory: 80,
    bandwidth: 3350,
    link: 450,
    network: 400,
    ...dgx,
    watts: 700,
    efficiency: 0.4,
    price: 3.5,
    priceBasis: RENT_H100,
  },
  'h100-pcie': {
    peak: 756,
    memory: 80,
    bandwidth: 2000,
    link: 64,
    network: 50,
    ...dgx,
    watts: 350,
    efficiency: 0.4,
    priceBasis: NO_RENT,
  },
  h200: {
    peak: 989,
    memory: 141,
    bandwidth: 4800,
    link: 450,
    network: 400,
    ...dgx,
    watts: 700,
    efficiency: 0.4,
    priceBasis: NO_RENT,
  },
  b200: {
    peak: 2250,
    memory: 180,
    bandwidth: 8000,
    link: 900,
    network: 400,
    ...dgx,
    watts: 1000,
    efficiency: 0.35,
    priceBasis: NO_RENT,
  },
  mi300x: {
    peak: 1300,
    memory: 192,
    bandwidth: 5300,
    link: 448,
    network: 400,
    ...dgx,
    watts: 750,
    efficiency: 0.35,
    priceBasis: NO_RENT,
  },
  'rtx-3090': {
    peak: 71,
    memory: 24,
    bandwidth: 936,
    link: 16,
    network: 1.25,
    perMachine: 2,
    hostMemory: 128,
    hostLink: 16,
    watts: 350,
    efficiency: 0.45,
    priceBasis: NO_RENT,
  },
  'rtx-4090': {
    peak: 165,
    memory: 24,
    bandwidth: 1008,
    link: 16,
    network: 1.25,
    perMachine: 2,
    hostMemory: 128,
    hostLink: 16,
    watts: 450,
    efficiency: 0.45,
    priceBasis: NO_RENT,
  },
}
