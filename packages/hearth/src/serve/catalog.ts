// The models of a server by the names that clients use: bases in processes of their own, and adapters on them.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError, DataError } from '@hearth/torch'
import { ChatTemplate, Tokenizer } from '../data/index.js'
import { loadTokenizer } from '../formats/index.js'
import { ApiError } from './api-error.js'
import { ModelHost, type HostEvent } from './host/model-host.js'
import type { ModelFacts, ModelSpec } from './host/messages.js'

/** A base to serve. */
export interface BaseOptions extends Omit<ModelSpec, 'adapters'> {
  /** What clients call it. */
  name: string
}

/** What a request reaches by a name. */
export interface ServedModel {
  name: string
  /** The base's name. */
  base: string
  /** The folder or file of the base. */
  path: string
  host: ModelHost
  tokenizer: Tokenizer
  template: ChatTemplate
  facts: ModelFacts
  /** Chosen in each request. */
  adapter: string | undefined
  /** Unix seconds. */
  created: number
}

export type CatalogEvent = HostEvent & { model: string }

export class Catalog {
  readonly #models = new Map<string, ServedModel>()
  readonly #report: (event: CatalogEvent) => void

  constructor(report: (event: CatalogEvent) => void = () => undefined) {
    this.#report = report
  }

  get models(): readonly ServedModel[] {
    return [...this.#models.values()]
  }

  /**
   * Starts the process of a model and waits until it can be asked.
   * @throws ConfigError for a name that is taken, DataError for a model without a tokenizer; what its process said
   */
  async addBase({ name, ...spec }: BaseOptions): Promise<ServedModel> {
    this.#checkFree(name)
    const worn = spec.worn !== undefined && existsSync(join(spec.worn, 'tokenizer.json')) ? spec.worn : undefined
    const tokenizer = worn === undefined ? await loadTokenizer(spec.path) : await Tokenizer.load(worn)
    if (tokenizer === undefined)
      throw new DataError(`${spec.path} has no tokenizer.json, so it knows no text`, {
        remedy: 'put the model’s tokenizer.json into the folder',
      })
    const template = ChatTemplate.choose(undefined, tokenizer)
    const report = (event: HostEvent) => this.#report({ ...event, model: name })
    const host = new ModelHost({ ...spec, adapters: {} }, { report })
    try {
      const facts = withEnd(await host.facts, tokenizer)
      const { path } = spec
      const model = { name, base: name, path, host, tokenizer, template, facts, adapter: undefined, created: now() }
      this.#models.set(name, model)
      return model
    } catch (error) {
      await host.close()
      throw error
    }
  }

  /**
   * Serves an adapter under a name of its own, on a base that is there.
   * @param base the name of one; the only one when it is not given
   * @throws ConfigError for a name that is taken or a base that is not there; ApiError when it does not fit
   */
  async addAdapter(name: string, folder: string, base?: string): Promise<ServedModel> {
    this.#checkFree(name)
    const bases = this.models.filter(({ adapter }) => adapter === undefined)
    const of = base === undefined && bases.length === 1 ? bases[0] : bases.find((model) => model.name === base)
    if (of === undefined)
      throw new ConfigError('adapters', [
        { path: name, message: `its base ${base ?? '(not named)'} is not served; served are ${names(bases)}` },
      ])
    await of.host.addAdapter(name, folder)
    const own = existsSync(join(folder, 'tokenizer.json')) ? await Tokenizer.load(folder) : undefined
    const texts = own === undefined ? {} : { tokenizer: own, template: ChatTemplate.choose(undefined, own) }
    const model = { ...of, ...texts, name, adapter: name, created: now() }
    this.#models.set(name, model)
    return model
  }

  /** Ends the service of an adapter. @throws ApiError when there is none of that name */
  async removeAdapter(name: string): Promise<void> {
    const model = this.get(name)
    if (model.adapter === undefined)
      throw new ApiError(403, `${name} is a base model of this server and stays`, { param: 'model' })
    this.#models.delete(name)
    await model.host.removeAdapter(name)
  }

  /** @throws ApiError 404, as OpenAI says it */
  get(name: string): ServedModel {
    const model = this.#models.get(name)
    if (model !== undefined) return model
    throw new ApiError(404, `the model ${JSON.stringify(name)} does not exist here; served are ${names(this.models)}`, {
      param: 'model',
      code: 'model_not_found',
    })
  }

  async close(): Promise<void> {
    await Promise.all([...new Set(this.models.map(({ host }) => host))].map((host) => host.close()))
  }

  #checkFree(name: string): void {
    if (this.#models.has(name))
      throw new ConfigError('models', [
        { path: name, message: `two models are called ${name}; name one with MODEL=NAME` },
      ])
  }
}

/** The end-of-text token of the tokenizer ends a text too. */
function withEnd(facts: ModelFacts, { endOfText }: Tokenizer): ModelFacts {
  return { ...facts, endTokens: [...new Set([...facts.endTokens, ...(endOfText === undefined ? [] : [endOfText])])] }
}

const now = () => Math.floor(Date.now() / 1000)
const names = (models: readonly ServedModel[]) => models.map(({ name }) => name).join(', ') || 'none'
