// `npm run size`: lines of code per folder, generated files and tests apart, and the longest files.
// It counts non-empty lines of the files that git knows.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { inRoot, root } from './setup/paths.mjs'

const LONGEST = 8
const SOURCE = /\.(ts|tsx|mjs|js|cc|h|css|html)$/

function kindOf(file, text) {
  if (/GENERATED/.test(text.slice(0, 200))) return 'generated'
  return /\.(test|fault)\.|\/test\//.test(file) ? 'tests' : 'code'
}

// packages/hearth/src/nn/linear.ts counts for packages/hearth/src/nn.
const folderOf = (file) => file.split('/').slice(0, -1).slice(0, 4).join('/') || '.'

const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
const files = [...new Set(listed.split('\n'))]
  .filter((file) => SOURCE.test(file) && existsSync(inRoot(file)))
  .map((file) => {
    const text = readFileSync(inRoot(file), 'utf8')
    return { file, kind: kindOf(file, text), lines: text.split('\n').filter((line) => line.trim()).length }
  })

const sum = (rows, kind) => rows.filter((row) => row.kind === kind).reduce((total, row) => total + row.lines, 0)
const row = (name, rows) => [name, ...['code', 'tests', 'generated'].map((kind) => sum(rows, kind))]
const folders = new Map()
for (const each of files) folders.set(folderOf(each.file), [...(folders.get(folderOf(each.file)) ?? []), each])

const table = [...folders].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, rows]) => row(name, rows))
for (const [name, ...counts] of [['folder', 'code', 'tests', 'generated'], ...table, row('total', files)]) {
  console.log(String(name).padEnd(36) + counts.map((count) => String(count).padStart(10)).join(''))
}
console.log('\nlongest files')
const longest = files.filter(({ kind }) => kind !== 'generated').sort((a, b) => b.lines - a.lines)
for (const { file, lines } of longest.slice(0, LONGEST)) console.log(`${String(lines).padStart(6)}  ${file}`)
