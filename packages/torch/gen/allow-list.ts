// Reads schema/ops.txt: which overloads make one typed function, and under which name.
import { camelCase } from './types.js'

export interface Entry {
  /** The TypeScript name. */
  name: string
  /** `aten::add.Tensor` in the order in which they are tried. */
  overloads: string[]
  /** The heading above the line, for the documentation. */
  section: string
}

/** @throws Error when two lines make the same name. */
export function readAllowList(text: string): Entry[] {
  const entries: Entry[] = []
  const names = new Set<string>()
  let section = ''
  for (const line of text.split('\n').map((raw) => raw.trim())) {
    if (line.startsWith('## ')) section = line.slice(3)
    if (line === '' || line.startsWith('#')) continue
    const [list, renamed] = line.split(' as ')
    const overloads = list!.split(/\s+/).map((overload) => `aten::${overload}`)
    const name = renamed ?? camelCase(overloads[0]!.slice('aten::'.length).replace(/\.\w+$/, ''))
    if (names.has(name)) throw new Error(`ops.txt: two lines make ${name}; give one of them a name with 'as'`)
    names.add(name)
    entries.push({ name, overloads, section })
  }
  return entries
}
