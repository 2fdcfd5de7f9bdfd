/**
 * The tokenizer that users hold: text into ids and back, read from and written as Hugging Face files.
 * Not here: how the ids come about (codec.ts and what stands behind it), training (train.ts).
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError, FormatError, replaceFile } from '@hearth/torch'
import { IdList } from './bpe.js'
import { BpeCodec } from './bpe-codec.js'
import { bpeKind } from './bpe-kinds.js'
import { chatTemplateField, chatTemplateFiles, chatTemplatesOf, type ChatTemplates } from './chat-template-files.js'
import type { Codec, StreamDecoder } from './codec.js'
import { isObject, parseDefinition } from './definition.js'
import type { Json, TokenizerDefinition } from './definition.js'
import { LibraryCodec } from './library-codec.js'

/** How to encode a text. */
export interface EncodeOptions {
  /** Put the tokenizer's own special tokens around the text, as LLaMA's `<s>` in front. Default true. */
  addSpecialTokens?: boolean
  /**
   * Read the text of a special token, `<|endoftext|>`, as that token, as Hugging Face does. Default true.
   * Give false for text from outside: a document must not be able to end itself.
   */
  recognizeSpecialTokens?: boolean
}

/** How to decode ids. */
export interface DecodeOptions {
  /** Leave out special tokens such as `<|endoftext|>`. Default true. */
  skipSpecialTokens?: boolean
}

const ORDINARY = 1
const SPECIAL = 2

const endOfTextNames = ['<|endoftext|>', '</s>', '<|end_of_text|>', '<eos>']

/**
 * Text to ids and back.
 *
 * @example
 * const tokenizer = await Tokenizer.load('models/pythia-160m')
 * const ids = tokenizer.encode('Call me Ishmael.')
 * tokenizer.decode(ids) // 'Call me Ishmael.'
 */
export class Tokenizer {
  /** Rows an embedding needs for every id: the largest id and one. */
  readonly vocabSize: number
  /** The token that ends a document: the configured `eos_token`, else a well-known name in the vocabulary. */
  readonly endOfText: number | undefined
  /** The configured `bos_token`. */
  readonly beginOfText: number | undefined
  /** Jinja templates of a conversation by name, where tokenizer_config.json or files beside it have some. */
  readonly chatTemplates: ChatTemplates
  /** The one that is meant when none is named. */
  readonly chatTemplate: string | undefined
  /** SHA-256 of tokenizer.json without its formatting: equal hashes encode alike. */
  readonly hash: string
  /** The parsed tokenizer.json and tokenizer_config.json, for writers of other formats. */
  readonly json: Readonly<Json>
  readonly config: Readonly<Json>
  readonly #definition: TokenizerDefinition
  readonly #codec: Codec
  readonly #kinds: Uint8Array // of each id: ORDINARY, SPECIAL, or 0 where there is no token

  private constructor(definition: TokenizerDefinition, config: Json) {
    this.#definition = definition
    this.json = definition.json
    this.config = config
    const kind = bpeKind(definition)
    this.#codec = kind === undefined ? new LibraryCodec(definition) : new BpeCodec(definition, kind)
    this.vocabSize = definition.vocabularySize
    this.#kinds = new Uint8Array(this.vocabSize)
    for (const id of definition.tokens.keys()) this.#kinds[id] = ORDINARY
    for (const { id, special } of definition.addedTokens) if (special) this.#kinds[id] = SPECIAL
    const names = [configuredToken(config.eos_token), ...endOfTextNames]
    this.endOfText = names.map((name) => this.tokenId(name)).find((id) => id !== undefined)
    this.beginOfText = this.tokenId(configuredToken(config.bos_token))
    this.chatTemplates = chatTemplatesOf(config, 'tokenizer_config.json')
    this.chatTemplate = this.chatTemplates.default
    this.hash = createHash('sha256').update(JSON.stringify(definition.json)).digest('hex')
  }

  /**
   * Reads a tokenizer.json, with the tokenizer_config.json and the chat templates beside it where there are any.
   *
   * @param path a Hugging Face folder, or the tokenizer.json itself
   * @throws DataError when there is no such file, FormatError when it is malformed
   */
  static async load(path: string): Promise<Tokenizer> {
    const info = await stat(path).catch(() => undefined)
    if (info === undefined) {
      throw new DataError(`${path}: no such file or folder`, {
        remedy: 'give a Hugging Face folder or a tokenizer.json',
      })
    }
    const file = info.isDirectory() ? join(path, 'tokenizer.json') : path
    const text = await readFile(file, 'utf8').catch((cause: unknown) => {
      throw new DataError(`${file}: cannot be read`, {
        cause,
        remedy: 'the folder needs a tokenizer.json; older models have it in a converted copy on the hub',
      })
    })
    const configFile = join(file, '..', 'tokenizer_config.json')
    const config = await readFile(configFile, 'utf8').catch(() => undefined)
    const json = config === undefined ? {} : parseJson(config, configFile)
    const own = isObject(json) ? json : {}
    const templates = { ...chatTemplatesOf(own, configFile), ...(await chatTemplateFiles(join(file, '..'))) }
    const configured = { ...own, chat_template: chatTemplateField(templates) }
    return Tokenizer.fromJson(parseJson(text, file), configured, file)
  }

  /**
   * Makes a tokenizer from the contents of a tokenizer.json and tokenizer_config.json.
   *
   * @param where what to call it in messages
   * @throws FormatError when the contents are malformed
   */
  static fromJson(json: unknown, config: unknown = {}, where = 'tokenizer.json'): Tokenizer {
    const definition = parseDefinition(json, where)
    return new Tokenizer(definition, isObject(config) ? config : {})
  }

  /** The ids of a text. */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const { addSpecialTokens = true, recognizeSpecialTokens = true } = options
    const out = new IdList()
    if (addSpecialTokens) for (const id of this.#definition.before) out.push(id)
    this.#codec.encode(text, recognizeSpecialTokens, out)
    if (addSpecialTokens) for (const id of this.#definition.after) out.push(id)
    return out.toArray()
  }

  /** The ids of each text. */
  encodeBatch(texts: Iterable<string>, options: EncodeOptions = {}): Int32Array[] {
    return Array.from(texts, (text) => this.encode(text, options))
  }

  /** The text of ids; ids beyond the vocabulary (a padded embedding has some) give nothing. */
  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const { skipSpecialTokens = true } = options
    const kept: number[] = []
    for (const id of ids) if (this.#gives(id, skipSpecialTokens)) kept.push(id)
    return this.#codec.decode(kept)
  }

  /** Decodes ids as they come; the pieces joined are what `decode` gives, and none ends inside a character. */
  streamDecoder(options: DecodeOptions = {}): StreamDecoder {
    const { skipSpecialTokens = true } = options
    const decoder = this.#codec.streamDecoder()
    return {
      push: (id) => (this.#gives(id, skipSpecialTokens) ? decoder.push(id) : ''),
      end: () => decoder.end(),
    }
  }

  /** Id of a token as the vocabulary writes it (`Ġthe`, `<|endoftext|>`). */
  tokenId(token: string | undefined): number | undefined {
    if (token === undefined) return undefined
    return (
      this.#definition.addedTokens.find(({ content }) => content === token)?.id ??
      this.#definition.vocabulary.get(token)
    )
  }

  /** A token as the vocabulary writes it. */
  token(id: number): string | undefined {
    return this.#definition.tokens.get(id)
  }

  /** Whether the id is a special token: it controls the model and is no text. */
  isSpecial(id: number): boolean {
    return this.#kinds[id] === SPECIAL
  }

  /** The same tokenizer with another template for conversations. */
  withChatTemplate(template: string): Tokenizer {
    return new Tokenizer(this.#definition, { ...this.config, chat_template: template })
  }

  /** Writes tokenizer.json and tokenizer_config.json, as Hugging Face's libraries read them. */
  async save(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true })
    replaceText(join(folder, 'tokenizer.json'), JSON.stringify(this.#definition.json))
    const config = { tokenizer_class: 'PreTrainedTokenizerFast', ...this.config }
    replaceText(join(folder, 'tokenizer_config.json'), JSON.stringify(config, null, 2))
  }

  #gives(id: number, skipSpecialTokens: boolean): boolean {
    const kind = this.#kinds[id]
    return kind === ORDINARY || (kind === SPECIAL && !skipSpecialTokens)
  }
}

/** tokenizer_config.json has a token as its text, or as an object with `content`. */
function configuredToken(token: unknown): string | undefined {
  if (typeof token === 'string') return token
  return isObject(token) && typeof token.content === 'string' ? token.content : undefined
}

function replaceText(path: string, text: string): void {
  replaceFile(path, (write) => write(Buffer.from(`${text}\n`)))
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new FormatError(`${file}: not JSON: ${reason}`, { cause, remedy: 'fetch the file again from its source' })
  }
}
