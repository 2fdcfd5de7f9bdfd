import { Linter } from 'eslint'
import { describe, expect, test } from 'vitest'
import { inRoot } from '../setup/paths.mjs'
import folderOrder from './folder-order.mjs'

/** The message ids that the rule reports for `code` as the contents of `file`. */
function lint(file, code) {
  const linter = new Linter({ cwd: inRoot() })
  const rules = { 'local/folder-order': 'error' }
  const config = { files: ['**/*.ts'], plugins: { local: { rules: { 'folder-order': folderOrder } } }, rules }
  return linter.verify(code, [config], { filename: inRoot(file) }).map(({ messageId, message }) => messageId ?? message)
}

const nn = 'packages/hearth/src/nn/linear.ts'

describe('folders of hearth', () => {
  test('may import those above them', () => {
    expect(lint(nn, "import { walk } from '../tree/index.js'")).toEqual([])
    expect(lint('packages/hearth/src/plan/cost.ts', "export * from '../evaluate/index.js'")).toEqual([])
  })

  test('may not import those below them, in whatever form', () => {
    expect(lint(nn, "import { train } from '../train/index.js'")).toEqual(['folderOrder'])
    expect(lint(nn, "export { train } from '../train/index.js'")).toEqual(['folderOrder'])
    expect(lint(nn, "export * from '../train/index.js'")).toEqual(['folderOrder'])
    expect(lint(nn, "await import('../train/index.js')")).toEqual(['folderOrder'])
    expect(lint('packages/hearth/src/models/gpt2/model.ts', "import '../../train/index.js'")).toEqual(['folderOrder'])
  })

  test('must have a place in the order', () => {
    expect(lint('packages/hearth/src/magic/spell.ts', '')).toEqual(['unknownFolder'])
  })
})

describe('the inside of another folder', () => {
  test('is reached through its index.js only', () => {
    expect(lint(nn, "import { walk } from '../tree/walk.js'")).toEqual(['internals'])
    expect(lint('packages/hearth/src/train/loop.ts', "import '../models/gpt2/index.js'")).toEqual(['internals'])
    expect(lint('packages/cli/src/files/find.ts', "import '../commands/train.js'")).toEqual(['internals'])
    expect(lint('packages/hearth/test/layers.test.ts', "import '../src/nn/linear.js'")).toEqual(['internals'])
    expect(lint('packages/hearth/test/layers.test.ts', "import '../src/nn/index.js'")).toEqual([])
  })

  test('is not what lies beside, above or below in the same folder', () => {
    expect(lint('packages/hearth/src/data/documents/text.ts', "import '../tokenizer/train.js'")).toEqual([])
    expect(lint('packages/cli/src/main.ts', "import './commands/train.js'")).toEqual([])
    expect(lint(nn, "import './norm.js'")).toEqual([])
    expect(lint('packages/hearth/src/models/gpt2/model.ts', "import '../attention.js'")).toEqual([])
    expect(lint('packages/hearth/src/models/index.ts', "export * from './gpt2/model.js'")).toEqual([])
  })
})

describe('packages', () => {
  test('may import those before them by name', () => {
    expect(lint(nn, "import { add } from '@hearth/torch'")).toEqual([])
    expect(lint('packages/cli/src/main.ts', "import { spark } from '@hearth/recipes'")).toEqual([])
    expect(lint('recipes/src/spark.ts', "import { trainer } from 'hearth/train'")).toEqual([])
  })

  test('may not import those after them', () => {
    expect(lint('packages/torch/src/tensor.ts', "import { walk } from 'hearth/tree'")).toEqual(['packageOrder'])
    expect(lint(nn, "import { spark } from '@hearth/recipes'")).toEqual(['packageOrder'])
    expect(lint('recipes/src/spark.ts', "import '@hearth/cli'")).toEqual(['packageOrder'])
  })

  test('are not entered by a relative path', () => {
    expect(lint(nn, "import '../../../torch/src/index.js'")).toEqual(['byName'])
    expect(lint('bench/call.bench.ts', "import '../packages/torch/src/tensor.js'")).toEqual(['byName'])
  })

  test('import themselves by name only in their black-box tests', () => {
    expect(lint(nn, "import { walk } from 'hearth/tree'")).toEqual(['ownName'])
    expect(lint('packages/hearth/test/tree.test.ts', "import { walk } from 'hearth/tree'")).toEqual([])
  })

  test('leave their folder only in tests', () => {
    expect(lint(nn, "import '../../../../fixtures/read.js'")).toEqual(['leaves'])
    expect(lint('packages/hearth/src/nn/linear.test.ts', "import '../../../../fixtures/read.js'")).toEqual([])
  })

  test('import other libraries freely', () => {
    expect(lint('packages/torch/src/native.ts', "import { createRequire } from 'node:module'")).toEqual([])
    expect(lint('packages/torch/src/native.ts', "import { fire } from 'hearthstone'")).toEqual([])
  })
})

test('drawers are refused, as folders and as files', () => {
  expect(lint('packages/torch/src/utils.ts', '')).toEqual(['drawer'])
  expect(lint('packages/torch/src/helpers/dtype.ts', '')).toEqual(['drawer'])
  expect(lint('packages/torch/src/common.test.ts', '')).toEqual(['drawer'])
  expect(lint('packages/torch/src/commonwealth.ts', '')).toEqual([])
})
