// Encoding, decoding and BPE training on the State of the Union addresses (10.8 MB), on one core: nothing here runs in
// parallel. Goal: 5 MB/s or better for encoding. "first" includes filling the cache of words, as a short run does.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { addresses } from '@hearth/recipes'
import { Tokenizer, trainByteLevelBpe } from 'hearth/data'
import { alternate, printTable, short, writeResult } from './measure.js'

const texts = addresses().files.map((file) => readFileSync(file, 'utf8'))
const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6

/** Megabytes of text a second. */
function rate(body: () => unknown): number {
  const start = performance.now()
  body()
  return megabytes / ((performance.now() - start) / 1000)
}

const encodeAll = (tokenizer: Tokenizer): Int32Array[] => texts.map((text) => tokenizer.encode(text))

const names = ['gpt-2', 'gpt-neox'] as const
const fresh = (name: string): Tokenizer => {
  const file = new URL(`../fixtures/tokenizers/${name}.tokenizer.json.gz`, import.meta.url)
  return Tokenizer.fromJson(JSON.parse(gunzipSync(readFileSync(file)).toString()))
}
const rows: (string | number)[][] = []
const results: Record<string, unknown> = {}
for (const name of names) {
  const tokenizer = fresh(name)
  const first = rate(() => encodeAll(tokenizer))
  const ids = encodeAll(tokenizer)
  const times = await alternate(
    {
      encode: () => rate(() => encodeAll(tokenizer)),
      decode: () => rate(() => ids.map((text) => tokenizer.decode(text))),
    },
    { rounds: 7 },
  )
  const tokens = ids.reduce((sum, text) => sum + text.length, 0)
  rows.push([name, first, times.encode.median, times.decode.median, (megabytes * 1e6) / tokens])
  results[name] = { first, ...times, tokens }
}
printTable(['MB/s', 'encode, first', 'encode', 'decode', 'bytes a token'], rows)

for (const vocabSize of [4096, 32_768]) {
  const start = performance.now()
  await trainByteLevelBpe(texts, { vocabSize })
  const seconds = (performance.now() - start) / 1000
  console.log(`training a vocabulary of ${vocabSize}: ${short(seconds)} s`)
  results[`train ${vocabSize}`] = { seconds }
}
writeResult(
  'tokenize',
  { megabytes, ...results },
  rows.map(([name, , encode]) => ({
    what: `encoding, ${name}`,
    unit: 'MB/s',
    hearth: Number(encode),
    goal: 'at least 5',
    met: Number(encode) >= 5,
  })),
)
