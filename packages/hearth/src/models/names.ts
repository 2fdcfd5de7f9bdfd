// The names of weights in Hugging Face files, from one table a family, in both directions.

/** One module: its weight and bias keep their last name. */
export interface NameRule {
  /** Place in our tree; `*` stands for a number: of a block, an expert, a head. */
  tree: string
  /** Hugging Face's name, with as many `*`, which take the same numbers in order. */
  file: string
  /** The file holds the weight as (in, out), as GPT-2's Conv1D does. */
  transpose?: boolean
}

export interface NameTable {
  rules: readonly NameRule[]
  /** What files of the bare model, without its head, leave out: `transformer.`. */
  basePrefix: string
  /** Buffers that old files hold beside the weights. */
  ignored: readonly RegExp[]
  /** Hugging Face's name of the head's weight, which files of a tied model may repeat. */
  head: string
}

/** A weight's name in a file. */
export interface FileName {
  name: string
  transpose: boolean
}

/**
 * The file's name of the weight at a path of the tree.
 * @throws TypeError for a path that the table does not name: the family's table is incomplete
 */
export function fileName(table: NameTable, path: string): FileName {
  const [, module, leaf] = /^(.*)\.(\w+)$/.exec(path) ?? []
  const numbers = [...(module ?? '').matchAll(/\.(\d+)(?=\.|$)/g)].map(([, number]) => number!)
  const pattern = module?.replace(/\.\d+(?=\.|$)/g, '.*')
  const rule = table.rules.find(({ tree }) => tree === pattern)
  if (rule === undefined || leaf === undefined) throw new TypeError(`no name for ${path}`)
  const transpose = rule.transpose === true && leaf === 'weight'
  return { name: `${rule.file.replaceAll('*', () => numbers.shift()!)}.${leaf}`, transpose }
}
