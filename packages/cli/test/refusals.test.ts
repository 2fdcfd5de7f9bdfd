// Wrong input gets one clear error on stderr, nothing on stdout, exit code 1 or 2, and nothing is left behind.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixture, hearth } from './hearth.js'
import { poems } from './tiny-run.js'

let cwd: string
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), 'hearth-refusals-'))
  const file = (name: string, contents: string | Buffer) => writeFileSync(join(cwd, name), contents)
  file('empty.txt', '')
  file('nul.txt', 'text\0text')
  file('latin1.txt', Buffer.from('caf\xe9 au lait', 'latin1'))
  file('picture.png', Buffer.from([0x89, 0x50, 0x4e, 0x47]))
  file('poem.txt', 'Twinkle, twinkle, little bat! How I wonder what you’re at!')
  file('rows.csv', 'title,body\nA,one\nB,two\n')
  file('ids.json', '[1, 2, 1000000]')
  file('words.json', '["a"]')
  file('one.json', '[1]')
  file('none.json', '[]')
  file('notes.safetensors', 'these are notes, and no tensors')
  file('recipe.ts', 'export default () => { throw new Error("not today") }')
  mkdirSync(join(cwd, 'folder'))
  mkdirSync(join(cwd, 'runs/taken'), { recursive: true })
  file('runs/taken/thesis.txt', 'years of work')
  mkdirSync(join(cwd, 'runs/broken'))
  file('runs/broken/config.json', '{"format":"hearth-run","config":{}}')
  file('runs/broken/status.json', '{}')
})
afterAll(() => rmSync(cwd, { recursive: true }))

const train = (...args: string[]) => ['train', 'spark', ...args]
const set = (setting: string) => train(poems, '--set', setting)
const gpt2 = fixture('gpt2')

const refused: [what: string, args: string[], says: RegExp][] = [
  ['data that is missing', train('nowhere/*.txt'), /nowhere\/\*\.txt: no file matches/],
  ['an empty file', train('empty.txt'), /empty\.txt: is empty/],
  ['an empty folder', train('folder'), /folder: is an empty folder/],
  ['a file that is not text', train('nul.txt'), /nul\.txt: is not text: it has a NUL byte at offset 4/],
  ['text in another encoding', train('latin1.txt'), /latin1\.txt: is not UTF-8 text: invalid byte at offset 3.*iconv/],
  ['a kind of file that is not read', train('picture.png'), /picture\.png: this kind of file is not read/],
  ['a table without the column', train('rows.csv'), /rows\.csv: has no column 'text'; its columns are: title, body/],
  ['a learning rate of NaN', set('optimizer.learningRate=NaN'), /optimizer\.learningRate: got NaN; expected a number/],
  [
    'a negative learning rate',
    set('optimizer.learningRate=-1'),
    /optimizer\.learningRate: got -1; expected a number above 0/,
  ],
  ['an unknown field', set('optimiser.learningRate=1'), /optimiser: unknown field; did you mean "optimizer"\?/],
  ['an unknown preset', set('model.preset=sprak'), /sprak.*did you mean "?spark/],
  [
    'an impossible shape',
    set('model.config={"hidden_size":64,"num_attention_heads":5,"head_dim":13,"num_key_value_heads":2}'),
    /num_attention_heads: 5 cannot be divided by num_key_value_heads \(2\)/,
  ],
  ['a shape of another kind', set('model.config={"hidden_size":"wide"}'), /hidden_size/],
  ['sequences beyond the context', set('sequenceLength=100000'), /sequenceLength: 100000/],
  ['slots that do not divide the batch', set('slots=3'), /slots: 3 does not divide batch 8/],
  ['a tokenizer that is missing', set('tokenizer.path=nowhere'), /nowhere: no such file or folder/],
  ['a name that is a path', train(poems, '--name', '../up'), /name: got "..\/up"; expected letters, digits, dot, dash/],
  ['an empty path', train(''), /data\.sources\.0\.path: got ""; expected a text that is not empty/],
  ['a path that is missing', train('folder/x.csv'), /folder\/x\.csv: no such file or folder; relative paths start at /],
  ['a device that is not there', set('device=cuda:99'), /device: cuda:99 is not there: this libtorch sees \d+ GPUs/],
  ['a device of no kind', set('device=tpu'), /device: got "tpu"; expected cpu, cuda or cuda:N/],
  ['no steps', set('steps=0'), /steps: got 0; expected a number above 0/],
  ['a batch beyond all bounds', set('batch=1e15'), /batch: got 1000000000000000; expected a number up to 16777216/],
  ['a choice that is none', set('dtype=int8'), /dtype: got "int8"; expected one of auto, float32, bfloat16/],
  ['a folder that is in use', train(poems, '--name', 'taken'), /runs\/taken exists and is not empty\n +remedy: /],
  ['a recipe that fails', ['train', 'recipe.ts', poems], /recipe\.ts does not run: not today\n +at .*recipe\.ts:1/],
  ['a run that does not exist', ['resume', 'nowhere'], /there is no run "nowhere"\n +remedy: hearth runs/],
  ['a folder that is no run', ['resume', 'folder'], /folder is not the folder of a run/],
  ['a model that does not exist', ['generate', 'nowhere'], /there is no model folder and no run "nowhere"/],
  ['a chat with what is no text model', ['chat', gpt2], /gpt2 has no tokenizer\.json/],
  ['a setting of a chat', ['chat', gpt2, '--set', 'top-p=2'], /top-p is "2"; must be a number above 0, to 1/],
  ['a model without text', ['generate', gpt2, 'hello'], /gpt2 has no tokenizer\.json/],
  ['ids beyond the vocabulary', ['score', gpt2, '--ids', 'ids.json'], /1000000/],
  ['ids that are words', ['score', gpt2, '--ids', 'words.json'], /words\.json: "a" is no token id/],
  ['a single id', ['score', gpt2, '--ids', 'one.json'], /nothing can be predicted with fewer than 2/],
  ['no ids', ['score', gpt2, '--ids', 'none.json'], /nothing can be predicted with fewer than 2/],
  ['a folder of ids', ['score', gpt2, '--ids', 'folder'], /folder is a folder; expected a file/],
  [
    'a file as a model',
    ['generate', 'poem.txt', 'hello'],
    /poem\.txt is a file; expected a GGUF file or the folder of a model/,
  ],
  ['a folder with nothing to inspect', ['inspect', 'folder'], /folder is no model, run or checkpoint\n +remedy: /],
  ['a file in place of the runs', ['runs', '--runs', 'poem.txt'], /poem\.txt: is not a folder/],
  [
    'a run whose configuration is broken',
    ['runs', 'show', 'broken'],
    /config\.json is not the configuration of a run\n +remedy/,
  ],
  ['ids that are not JSON', ['score', gpt2, '--ids', 'poem.txt'], /poem\.txt is not JSON/],
  [
    'a file of ids that is missing',
    ['score', gpt2, '--ids', 'nowhere.json'],
    /nowhere\.json: no such file; relative paths start at /,
  ],
  [
    'a file that is no safetensors',
    ['inspect', 'notes.safetensors'],
    /notes\.safetensors is not a valid safetensors file/,
  ],
  ['nothing to inspect', ['inspect', 'nowhere'], /there is no file, folder or run "nowhere"/],
  ['a tokenizer that does not exist', ['tokenize', 'nowhere', 'text'], /nowhere: no such file or folder/],
  ['a run to show that does not exist', ['runs', 'show', 'nowhere'], /there is no run "nowhere"/],
]

describe.concurrent('refused with exit code 1 and the reason:', () => {
  test.each(refused)('%s', async (_, args, says) => {
    const { code, stdout, stderr } = await hearth(args, { cwd })
    expect(stderr).toMatch(says)
    expect(stderr).toMatch(/^error: /m)
    expect(stderr).not.toMatch(/inside Hearth itself|^ +at .*dist/m)
    expect(stdout).toBe('')
    expect(code).toBe(1)
    // Nothing was begun.
    expect(existsSync(join(cwd, 'runs/spark'))).toBe(false)
  })
})

test('several mistakes of different kinds are told at once, before anything is made', async () => {
  const settings = ['device=cuda:99', 'tokenizer.path=nowhere', 'sequenceLength=100000']
  const line = train('missing.txt', 'empty.txt', ...settings.flatMap((setting) => ['--set', setting]))
  const { code, stderr } = await hearth(line, { cwd })
  for (const says of [
    'missing.txt: no such file',
    'empty.txt: is empty',
    'cuda:99 is not there',
    'nowhere: no such file',
    'sequenceLength: 100000',
  ])
    expect(stderr).toContain(says)
  expect(code).toBe(1)
  expect(existsSync(join(cwd, 'runs/spark'))).toBe(false)
})

const misspelt: [line: string, says: string][] = [
  ['trian poem.txt', "unknown command 'trian' (Did you mean train?)"],
  ['help trian', "unknown command 'trian' (Did you mean train?)"],
  ['trian --help', "unknown command 'trian' (Did you mean train?)"],
  ['train poem.txt --dryrun', "unknown option '--dryrun' (Did you mean --dry-run?)"],
  ['generate', "missing required argument 'MODEL'"],
  ['generate m --max-tokens many --top-p 2', '--max-tokens is "many"; expected a whole number, at least 1'],
  ['generate m --max-tokens many --top-p 2', '--top-p is "2"; expected a number from 0 to 1'],
  ['train poem.txt --set steps', '--set takes path=value'],
  ['score m', 'give either --ids FILE or --text FILE'],
  ['score m --ids a --text b', 'give either --ids FILE or --text FILE'],
  ['tokenize', 'missing argument TOKENIZER'],
  ['tokenize m', 'give one of TEXT, --file or --decode'],
  ['tokenize --train poem.txt', '--train needs --out DIR'],
  ['runs show', 'hearth runs show needs a RUN'],
  ['runs delete', 'ACTION is "delete"; expected one of list, show'],
  ['doctor now', "too many arguments for 'doctor'"],
  ['quickstart --minutes 0', '--minutes is "0"; expected a number, at least 0.1'],
]

describe.concurrent('a line that is wrong ends with exit code 2 and names the help:', () => {
  test.each(misspelt)('hearth %s', async (line, says) => {
    const { code, stdout, stderr } = await hearth(line.split(' '), { cwd })
    expect(stderr).toContain(`error: ${says}`)
    expect(stderr).toMatch(/See: hearth .*--help\n$/)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  })
})
