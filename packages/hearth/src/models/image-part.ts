// What the networks of an image model have in common: a text encoder, a U-Net, an autoencoder. Each is a folder with its
// configuration, its maths and its tree of weights. Their files are diffusers' own, so a part asks its source for weights
// by the names that diffusers' files have; sizes are ours: channels last.
import type { Conv2d, GroupNorm, LayerNorm, Linear } from '../nn/index.js'
import type { WeightSource } from './weight-source.js'

/** One kind of network. What it computes is its own: `forward`, or `encode` and `decode`. */
export interface ImagePart<Config = unknown, Weights = unknown> {
  /** diffusers' or transformers' `_class_name` or `architectures[0]`. */
  readonly className: string
  /** Buffers and heads that files hold beside the weights. */
  readonly ignored: readonly RegExp[]
  /**
   * Reads its config.json; missing keys get diffusers' defaults, unknown ones are ignored.
   * @throws ConfigError listing everything that is impossible or not supported
   */
  parseConfig(json: unknown, where?: string): Config
  /** The tree of weights, each asked from the source. */
  build(config: Config, source: WeightSource): Weights
}

/** As PyTorch's layers start: the spread of a uniform draw from ±1/√inputs. */
const spread = (inputs: number) => ({ kind: 'normal', std: 1 / Math.sqrt(3 * inputs) }) as const
const zeros = { kind: 'zeros' } as const
const ones = { kind: 'ones' } as const

/** Asks for the layers below one name of the file: `down_blocks.0.resnets.1`. */
export class PartBuilder {
  readonly #source: WeightSource
  readonly #name: string

  constructor(source: WeightSource, name = '') {
    this.#source = source
    this.#name = name
  }

  /** What lies further down. */
  at(name: string): PartBuilder {
    return new PartBuilder(this.#source, this.#full(name))
  }

  /** A list of layers, at `name.0`, `name.1`, ... */
  list<T>(name: string, count: number, build: (builder: PartBuilder, index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => build(this.at(`${name}.${index}`), index))
  }

  linear(name: string, inputs: number, outputs: number, { bias = true } = {}): Linear {
    const weight = this.#source.tensor(this.#full(`${name}.weight`), [outputs, inputs], spread(inputs))
    return bias ? { weight, bias: this.#source.tensor(this.#full(`${name}.bias`), [outputs], zeros) } : { weight }
  }

  /** A square kernel. */
  conv(name: string, inputs: number, outputs: number, size = 3): Conv2d {
    const shape = [outputs, size, size, inputs]
    const weight = this.#source.tensor(this.#full(`${name}.weight`), shape, spread(inputs * size * size))
    return { weight, bias: this.#source.tensor(this.#full(`${name}.bias`), [outputs], zeros) }
  }

  /** Of a layer norm or a group norm. */
  norm(name: string, width: number): LayerNorm & GroupNorm {
    return {
      weight: this.#source.tensor(this.#full(`${name}.weight`), [width], ones),
      bias: this.#source.tensor(this.#full(`${name}.bias`), [width], zeros),
    }
  }

  table(name: string, rows: number, width: number): { weight: Linear['weight'] } {
    return { weight: this.#source.tensor(this.#full(`${name}.weight`), [rows, width], { kind: 'normal', std: 0.02 }) }
  }

  #full(name: string): string {
    return this.#name === '' ? name : `${this.#name}.${name}`
  }
}
