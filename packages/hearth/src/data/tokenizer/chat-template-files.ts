// Where Hugging Face folders keep chat templates: in tokenizer_config.json, as one text or as several by name, or in files
// beside it, which count before it. Not here: rendering them (../chat-template.ts).
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError } from '@hearth/torch'
import { z } from 'zod'

const Templates = z
  .union(
    [z.string(), z.array(z.object({ name: z.string(), template: z.string() }))],
    'expected Jinja, or a list of { name, template }',
  )
  .nullish()

/** Jinja by name; the one that is meant when none is named is `default`. */
export type ChatTemplates = Readonly<Record<string, string>>

/**
 * The templates of a tokenizer_config.json.
 * @throws FormatError when `chat_template` is neither a text nor a list
 */
export function chatTemplatesOf(config: Readonly<Record<string, unknown>>, where: string): ChatTemplates {
  const parsed = Templates.safeParse(config.chat_template)
  if (!parsed.success) throw new FormatError(`${where}: chat_template: ${parsed.error.issues[0]!.message}`)
  const { data } = parsed
  if (typeof data === 'string') return { default: data }
  return Object.fromEntries((data ?? []).map(({ name, template }) => [name, template]))
}

/** Those in files of their own: chat_template.jinja and additional_chat_templates/NAME.jinja. */
export async function chatTemplateFiles(folder: string): Promise<ChatTemplates> {
  const more = join(folder, 'additional_chat_templates')
  const names = (await readdir(more).catch(() => [])).flatMap((file) => /^([\w-]+)\.jinja$/.exec(file)?.[1] ?? [])
  const files = [
    ['default', join(folder, 'chat_template.jinja')],
    ...names.map((name) => [name, join(more, `${name}.jinja`)]),
  ]
  const found: Record<string, string> = {}
  for (const [name, path] of files as [string, string][]) {
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text !== undefined) found[name] = text
  }
  return found
}

/** As `chat_template` of tokenizer_config.json, which every version of transformers reads; undefined for none. */
export function chatTemplateField(templates: ChatTemplates): unknown {
  const entries = Object.entries(templates)
  if (entries.length === 0) return undefined
  if (entries.length === 1 && templates.default !== undefined) return templates.default
  return entries.map(([name, template]) => ({ name, template }))
}
