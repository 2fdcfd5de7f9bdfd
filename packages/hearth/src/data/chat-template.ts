// A conversation as the text that a model reads: Jinja templates, those of tokenizers and those known by name. Rendering
// and nothing else: which tokens are trained on is decided in rows/.
import { ConfigError, DataError } from '@hearth/torch'
import { Template } from '@huggingface/jinja'
import { closest } from 'fastest-levenshtein'
import { CHAT_TEMPLATES } from './chat-templates.js'
import type { Tokenizer } from './tokenizer/tokenizer.js'

/** One turn. */
export interface Message {
  role: string
  content: string
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
  readonly #template: Template
  readonly #texts: SpecialTexts

  /** @throws ConfigError when the source is no Jinja template */
  constructor(source: string, { name = 'given', ...texts }: SpecialTexts & { name?: string } = {}) {
    this.name = name
    this.source = source
    this.#texts = texts
    try {
      this.#template = new Template(source)
    } catch (cause) {
      const message = `the chat template (${name}) is not Jinja that can be read: ${(cause as Error).message}`
      throw new ConfigError('chat template', [{ path: name, message }])
    }
  }

  /**
   * The template of that name; the tokenizer's own without one, and `plain` where it has none.
   * @param choice a known name, or Jinja itself (anything with `{{` or `{%` in it)
   * @throws ConfigError for a name that is not known
   */
  static choose(choice: string | undefined, tokenizer: Tokenizer): ChatTemplate {
    const text = (id: number | undefined) => (id === undefined ? '' : tokenizer.token(id))
    const texts = { bosToken: text(tokenizer.beginOfText), eosToken: text(tokenizer.endOfText) }
    if (choice !== undefined && /\{[{%]/.test(choice)) return new ChatTemplate(choice, texts)
    if (choice === undefined && tokenizer.chatTemplate !== undefined)
      return new ChatTemplate(tokenizer.chatTemplate, { name: 'tokenizer', ...texts })
    const name = choice ?? 'plain'
    if (!Object.hasOwn(CHAT_TEMPLATES, name)) {
      const near = closest(name, chatTemplateNames)
      const message = `${JSON.stringify(name)} is not known; did you mean ${near}? Known are ${chatTemplateNames.join(', ')}`
      throw new ConfigError('chat template', [{ path: 'template', message }])
    }
    return new ChatTemplate(CHAT_TEMPLATES[name]!, { name, ...texts })
  }

  /**
   * The text of a conversation.
   * @param options.addGenerationPrompt ends where the assistant's next turn begins
   * @throws DataError with the template's own words when it refuses these messages, or refers to what is not there
   */
  render(messages: readonly Message[], { addGenerationPrompt = false } = {}): string {
    try {
      return this.#template.render({
        messages,
        add_generation_prompt: addGenerationPrompt,
        bos_token: this.#texts.bosToken ?? '',
        eos_token: this.#texts.eosToken ?? '',
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
