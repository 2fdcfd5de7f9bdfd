// Our own lint rule: the order of packages and folders is the order of imports. What stands further
// down may import what stands further up, never the other way round; a folder is entered through its index.js only;
// and no folder or file is a drawer for everything ("utils").
import { dirname, posix, relative, sep } from 'node:path'
import { root } from '../setup/paths.mjs'

/** Packages, lowest first: where they lie and how they are imported. */
const PACKAGES = [
  { folder: 'packages/torch', name: '@hearth/torch' },
  { folder: 'packages/hearth', name: 'hearth' },
  { folder: 'recipes', name: '@hearth/recipes' },
  { folder: 'packages/cli', name: '@hearth/cli' },
]

/** Folders of packages/hearth/src, lowest first. */
const FOLDERS =
  'tree nn optim data checkpoint models formats adapt diffusion cluster train generate image serve evaluate plan studio'.split(
    ' ',
  )

const DRAWER = /^(utils?|helpers?|common|misc)$/i

const messages = {
  drawer: "'{{name}}' says nothing about what is in it: name the file or folder after its one idea.",
  unknownFolder:
    "The folder '{{folder}}' has no place in the order: add it to FOLDERS in scripts/lint/folder-order.mjs.",
  folderOrder: "'{{from}}' may not import from '{{to}}', which stands below it in the order of folders ({{order}}).",
  packageOrder: '{{from}} may not import {{to}}: the order of packages is {{order}}.',
  byName: "This reaches into another package: import it by its name, '{{name}}'.",
  ownName: 'Inside a package import its folders by a relative path: a package does not import itself by name.',
  internals: "Another folder is entered through its index.js: import from '{{index}}'.",
  leaves: 'Sources of a package may not import files outside it.',
}

/** @type {import('eslint').Rule.RuleModule} */
export default {
  meta: { type: 'problem', schema: [], messages, docs: { description: 'keep the order of packages and folders' } },
  create(context) {
    const path = relative(root, context.filename).split(sep).join('/')
    const file = locate(path)
    const check = (node) => {
      if (typeof node?.value !== 'string') return
      const problem = node.value.startsWith('.') ? checkRelative(file, node.value) : checkName(file, node.value)
      if (problem) context.report({ node, ...problem })
    }
    return {
      Program: (node) => checkPath(file).forEach((problem) => context.report({ node, ...problem })),
      ImportDeclaration: ({ source }) => check(source),
      ExportNamedDeclaration: ({ source }) => check(source),
      ExportAllDeclaration: ({ source }) => check(source),
      ImportExpression: ({ source }) => check(source),
      TSImportType: ({ source, argument }) => check(source ?? argument?.literal),
    }
  },
}

/** Where a file stands: its package's rank, its place inside it, and for sources of hearth the folder's rank. */
function locate(path) {
  const rank = PACKAGES.findIndex(({ folder }) => path.startsWith(`${folder}/`))
  const inside = rank < 0 ? path : path.slice(PACKAGES[rank].folder.length + 1)
  const isSource = rank >= 0 && inside.startsWith('src/')
  const parts = inside.split('/')
  const top = isSource && parts.length > 2 ? parts[1] : undefined
  const folder = rank >= 0 && PACKAGES[rank].name === 'hearth' ? top : undefined
  return { path, rank, isSource, isTest: /\.test\.\w+$/.test(path), top, folder }
}

function checkPath({ path, folder }) {
  const drawers = path.split('/').map((part) => part.split('.')[0])
  const name = drawers.find((part) => DRAWER.test(part))
  const unplaced = folder !== undefined && !FOLDERS.includes(folder)
  return [
    ...(name ? [{ messageId: 'drawer', data: { name } }] : []),
    ...(unplaced ? [{ messageId: 'unknownFolder', data: { folder } }] : []),
  ]
}

function checkName(file, specifier) {
  const target = PACKAGES.findIndex(({ name }) => specifier === name || specifier.startsWith(`${name}/`))
  if (target < 0 || file.rank < 0) return undefined
  if (target === file.rank) return file.isSource ? { messageId: 'ownName' } : undefined
  if (target < file.rank) return undefined
  const order = PACKAGES.map(({ name }) => name).join(' < ')
  return { messageId: 'packageOrder', data: { from: PACKAGES[file.rank].name, to: PACKAGES[target].name, order } }
}

function checkRelative(file, specifier) {
  const target = locate(posix.join(dirname(file.path), specifier))
  if (target.rank !== file.rank) {
    if (target.rank >= 0) return { messageId: 'byName', data: { name: PACKAGES[target.rank].name } }
    return file.isSource && !file.isTest ? { messageId: 'leaves' } : undefined
  }
  return checkFolders(file, target) ?? checkEntrance(file, target, specifier)
}

function checkFolders(file, target) {
  if (file.folder === undefined || target.folder === undefined || file.folder === target.folder) return undefined
  if (FOLDERS.indexOf(target.folder) < FOLDERS.indexOf(file.folder)) return undefined
  return { messageId: 'folderOrder', data: { from: file.folder, to: target.folder, order: FOLDERS.join(' < ') } }
}

// src/tree is entered through src/tree/index.js by every other folder, and by the tests in test/. What lies in the same
// folder of src, at whatever depth, and what a folder of src has below it, is its own affair.
function checkEntrance(file, target, specifier) {
  const inside = target.path.slice(target.path.indexOf('/src/') + 5)
  const [top, ...rest] = inside.split('/')
  const isOwn = file.isSource && (specifier.startsWith('./') || file.top === top)
  if (!target.isSource || rest.length === 0 || isOwn || rest.join('/') === 'index.js') return undefined
  return { messageId: 'internals', data: { index: `${specifier.slice(0, -rest.join('/').length)}index.js` } }
}
