// A conversation as the text that a model reads: Jinja templates, those of tokenizers and those known by name. Those that
// are not ours render within bounds (bounded-template.ts). Which tokens are trained on is decided in rows/.
import { ConfigError, DataError } from '@hearth/torch'
import { Template } from '@huggingface/jinja'
import { closest } from 'fastest-levenshtein'
import { LARGEST_TEMPLATE, renderBounded } from './bounded-template.js'
import { CHAT_TEMPLATES } from './chat-templates.js'
import type { Tokenizer } from './tokenizer/tokenizer.js'

/** One turn. */
export interface Message {
  role: string
  content: string
}

export interface RenderOptions {
  /** Ends where the assistant's next turn begins. */
  addGenerationPrompt?: boolean
  /** Function definitions, as the OpenAI API has them. */
  tools?: readonly unknown[]
  /** What the template may refer to besides, such as `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>
}

/** Names that ChatTemplate.choose() knows. */
export const chatTemplateNames: readonly string[] = Object.keys(CHAT_TEMPLATES)

/** What a template is told of the tokenizer. */
export interface SpecialTexts {
  bosToken?: string | undefined
  eosToken?: string | undefined
}

/**
 * A compiled template.
 * @example
 * const template = ChatTemplate.choose('chatml', tokenizer)
 * template.render([{ role: 'user', content: 'Hello' }], { addGenerationPrompt: true })
 */
export class ChatTemplate {
  /** `tokenizer`, a known name, or `given`. */
  readonly name: string
  /** Jinja. */
  readonly source: string
  readonly #render: (values: Record<string, unknown>) => string
  readonly #texts: SpecialTexts

  /** @throws ConfigError when the source is no Jinja template */
  constructor(source: string, { name = 'given', ...texts }: SpecialTexts & { name?: string } = {}) {
    this.name = name
    this.source = source
    this.#texts = texts
    const wrong = (reason: string) =>
      new ConfigError('chat template', [{ path: name, message: `the chat template (${name}) ${reason}` }])
    if (source.length > LARGEST_TEMPLATE)
      throw wrong(`has ${source.length} characters, at most ${LARGEST_TEMPLATE} are taken`)
    try {
      const template = new Template(source)
      const isOurs = Object.hasOwn(CHAT_TEMPLATES, name) && CHAT_TEMPLATES[name] === source
      this.#render = isOurs ? (values) => template.render(values) : (values) => renderBounded(source, values)
    } catch (cause) {
      throw wrong(`is not Jinja that can be read: ${(cause as Error).message}`)
    }
  }

  /**
   * The template of that name; the tokenizer's own without one, and `plain` where it has none.
   * @param choice a name of the tokenizer's or a known one, or Jinja itself (anything with `{{` or `{%` in it)
   * @throws ConfigError for a name that is not known, and for a template that needs a token the tokenizer does not have
   */
  static choose(choice: string | undefined, tokenizer: Tokenizer): ChatTemplate {
    const text = (id: number | undefined) => (id === undefined ? '' : tokenizer.token(id))
    const texts = { bosToken: text(tokenizer.beginOfText), eosToken: text(tokenizer.endOfText) }
    if (choice !== undefined && /\{[{%]/.test(choice)) return new ChatTemplate(choice, texts)
    const own = choice === undefined ? tokenizer.chatTemplate : tokenizer.chatTemplates[choice]
    if (own !== undefined) {
      checkTokens(own, texts)
      return new ChatTemplate(own, { name: choice ?? 'tokenizer', ...texts })
    }
    const name = choice ?? 'plain'
    if (!Object.hasOwn(CHAT_TEMPLATES, name)) {
      const near = closest(name, chatTemplateNames)
      const known = [...Object.keys(tokenizer.chatTemplates), ...chatTemplateNames]
      const message = `${JSON.stringify(name)} is not known; did you mean ${near}? Known are ${known.join(', ')}`
      throw new ConfigError('chat template', [{ path: 'template', message }])
    }
    return new ChatTemplate(CHAT_TEMPLATES[name]!, { name, ...texts })
  }

  /**
   * The text of a conversation.
   * @throws DataError with the template's own words when it refuses these messages, refers to what is not there, or does
   * not finish within its bounds
   */
  render(messages: readonly Message[], options: RenderOptions = {}): string {
    const { addGenerationPrompt = false, tools, variables = {} } = options
    try {
      return this.#render({
        bos_token: this.#texts.bosToken ?? '',
        eos_token: this.#texts.eosToken ?? '',
        ...variables,
        ...(tools === undefined ? {} : { tools }),
        messages,
        add_generation_prompt: addGenerationPrompt,
      })
    } catch (cause) {
      const roles = messages.map(({ role }) => role).join(', ')
      throw new DataError(
        `the chat template (${this.name}) does not render ${roles || 'no messages'}: ${(cause as Error).message}`,
        { cause },
      )
    }
  }
}

/** A template of a tokenizer that needs a token which the tokenizer does not have would leave it out in silence. */
function checkTokens(source: string, { bosToken, eosToken }: SpecialTexts): void {
  const missing = Object.entries({ bos_token: bosToken, eos_token: eosToken }).filter(([name, text]) => {
    const asksFirst = new RegExp(`\\b${name}\\s+(is\\s+(not\\s+)?(defined|none)|or\\b)`)
    return !text && source.includes(name) && !asksFirst.test(source)
  })
  if (missing.length === 0) return
  const names = missing.map(([name]) => name).join(' and ')
  const message = `refers to ${names}, which the tokenizer does not have`
  throw new ConfigError('chat template', [{ path: 'tokenizer_config.json', message }])
}
