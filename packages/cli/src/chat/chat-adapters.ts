// The adapters of a chat: read when they are first worn, each with the tokenizer and the template it was taught with.
import { isAdapterFolder, loadAdapter } from 'hearth/adapt'
import { ChatTemplate, Tokenizer } from 'hearth/data'
import type { ChatVoice, Engine } from 'hearth/generate'
import type { LanguageModel } from 'hearth/models'
import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { CommandError } from '../failure.js'
import { findRun } from '../locate.js'

export class ChatAdapters {
  readonly #engine: Engine
  readonly #model: LanguageModel
  readonly #bare: ChatVoice
  readonly #folders = new Map<string, string>()
  readonly #voices = new Map<string, ChatVoice>()

  /** @param bare the model without an adapter */
  constructor(engine: Engine, model: LanguageModel, bare: ChatVoice) {
    this.#engine = engine
    this.#model = model
    this.#bare = bare
  }

  get names(): readonly string[] {
    return [...this.#folders.keys()]
  }

  /**
   * Gives an adapter a name.
   * @param word `DIR`, `NAME=DIR`, or a run in the place of DIR
   * @returns its name
   * @throws CommandError when there is no adapter
   */
  add(word: string): string {
    const [, name, place = word] = /^([^=/\\]+)=(.+)$/.exec(word) ?? []
    const run = findRun(place)
    const folder = run === undefined ? place : join(run, 'adapter')
    if (!isAdapterFolder(folder))
      throw new CommandError(`${folder} is no adapter folder`, 'it should hold adapter_config.json and the weights')
    const own = name ?? basename(resolve(run ?? place))
    if (this.#folders.has(own)) throw new CommandError(`two adapters are called ${own}`, 'name one with NAME=DIR')
    this.#folders.set(own, folder)
    return own
  }

  /**
   * Who speaks under a name; `none` is the model without an adapter.
   * @throws CommandError for a name that is not there, FormatError for an adapter of another model
   */
  async voice(name: string): Promise<ChatVoice> {
    const known = name === 'none' ? this.#bare : this.#voices.get(name)
    if (known !== undefined) return known
    const folder = this.#folders.get(name)
    if (folder === undefined)
      throw new CommandError(
        `there is no adapter ${JSON.stringify(name)}`,
        `there are ${['none', ...this.names].join(', ')}; more by --adapter NAME=DIR, or /adapter NAME=DIR`,
      )
    this.#engine.setAdapter(name, loadAdapter(folder, this.#model))
    const own = existsSync(join(folder, 'tokenizer.json')) ? await Tokenizer.load(folder) : undefined
    const text = own === undefined ? this.#bare : { tokenizer: own, template: ChatTemplate.choose(undefined, own) }
    const voice = { ...text, adapter: name }
    this.#voices.set(name, voice)
    return voice
  }
}
