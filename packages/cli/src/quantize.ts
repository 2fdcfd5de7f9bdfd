// `--quantize`, which the commands that run a model share.

/** `--quantize` of the commands that run a model. */
export const quantizeOption = {
  kind: 'text',
  value: 'FORMAT',
  choices: ['int8', 'int4'],
  description: 'run the model in 8 or 4 bit integers: faster and smaller, and a little less exact',
} as const
