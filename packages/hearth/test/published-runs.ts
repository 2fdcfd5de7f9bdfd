// Trainings as they were published, to hold the planner against. Not here: predicting them (plan.test.ts, bench/planning).

/** GPU-hours of Touvron et al. 2023 (table 15) and 2023b (table 2), A100-80GB. */
export const llamaRuns = {
  /** Context 2048. */
  llama: [
    { preset: 'llama-7b', tokens: 1e12, hours: 82_432 },
    { preset: 'llama-13b', tokens: 1e12, hours: 135_168 },
    { preset: 'llama-33b', tokens: 1.4e12, hours: 530_432 },
    { preset: 'llama-65b', tokens: 1.4e12, hours: 1_022_362 },
  ],
  /** Context 4096. */
  llama2: [
    { preset: 'llama2-7b', tokens: 2e12, hours: 184_320 },
    { preset: 'llama2-13b', tokens: 2e12, hours: 368_640 },
    { preset: 'llama2-70b', tokens: 2e12, hours: 1_720_320 },
  ],
} as const

/** Layers and width of MPT's models: GPT-2's form with 50,368 tokens and a learned position for each of the context. */
const mptShapes = {
  '125m': [12, 768],
  '350m': [24, 1024],
  '760m': [24, 1536],
  '1b': [24, 2048],
  '3b': [32, 2560],
  '7b': [32, 4096],
  '13b': [40, 5120],
  '30b': [48, 7168],
} as const

/** The config.json of a row of MPT's table. */
export function mptConfig(model: keyof typeof mptShapes, context: number) {
  const [layers, width] = mptShapes[model]
  const sizes = { n_layer: layers, n_embd: width, n_head: Math.floor(width / 64), vocab_size: 50_368 }
  return { model_type: 'gpt2', ...sizes, n_positions: context }
}

/** Model, context, GPU, tokens a second of a GPU, utilisation in %, parameters (llm-foundry, benchmarking README). */
export const mptRows = [
  ['125m', 2048, 'a100', 142_830, 44.79, 125_311_488],
  ['125m', 65_536, 'a100', 20_368, 54.13, 174_070_272],
  ['350m', 2048, 'a100', 58_782, 51.62, 355_985_408],
  ['760m', 2048, 'a100', 32_434, 56.85, 760_470_528],
  ['1b', 2048, 'a100', 20_513, 59.86, 1_315_950_592],
  ['1b', 8192, 'a100', 13_814, 56.69, 1_328_533_504],
  ['3b', 2048, 'a100', 10_811, 62.11, 2_651_837_440],
  ['7b', 2048, 'a100', 4641, 64.23, 6_658_859_008],
  ['7b', 65_536, 'a100', 1013, 46.97, 6_918_905_856],
  ['13b', 2048, 'a100', 2262, 59.57, 12_853_954_560],
  ['30b', 2048, 'a100', 916, 55.3, 29_975_214_080],
  ['760m', 2048, 'h100', 63_147, 34.9, 760_470_528],
  ['1b', 2048, 'h100', 45_455, 41.82, 1_315_950_592],
  ['7b', 2048, 'h100', 10_643, 46.44, 6_658_859_008],
  ['13b', 2048, 'h100', 4792, 39.79, 12_853_954_560],
  ['30b', 2048, 'h100', 2308, 43.92, 29_975_214_080],
] as const

/** FLOP/s that MPT's table divides by. */
export const mptPeaks = { a100: 312e12, h100: 989.4e12 } as const

/** Seconds: stall of a checkpoint and restart, then mean time between breakdowns and the goodput of the best interval. */
export const goodputTable = [
  [
    60,
    1800,
    [
      [86_400, 0.943],
      [11_124, 0.765],
      [3600, 0.502],
      [900, 0.092],
      [60, 0],
    ],
  ],
  [
    6.3,
    120,
    [
      [86_400, 0.987],
      [11_124, 0.956],
      [3600, 0.911],
      [900, 0.776],
      [60, 0.08],
    ],
  ],
  [
    0.5,
    30,
    [
      [86_400, 0.996],
      [11_124, 0.988],
      [3600, 0.975],
      [900, 0.935],
      [60, 0.53],
    ],
  ],
  [
    0.05,
    10,
    [
      [86_400, 0.999],
      [11_124, 0.996],
      [3600, 0.992],
      [900, 0.979],
      [60, 0.81],
    ],
  ],
  [
    0.05,
    3,
    [
      [86_400, 0.999],
      [11_124, 0.997],
      [3600, 0.994],
      [900, 0.986],
      [60, 0.91],
      [15, 0.75],
    ],
  ],
] as const
