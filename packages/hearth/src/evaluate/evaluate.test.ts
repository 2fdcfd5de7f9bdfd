// Whole evaluations of tasks that ship with Hearth, on rows written by hand, of a stand-in that says what it is told.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import rows from '../../test/task-rows.json' with { type: 'json' }
import {
  checkAnswerable,
  chooseTasks,
  evaluate,
  prepareTasks,
  scoreRows,
  writeResults,
  type EvaluatedModel,
} from './index.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-evaluate-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** The tasks with their rows from files here: what they ask is as it ships. */
function localTasks(...names: (keyof typeof rows)[]) {
  const files = names.map((name) => {
    writeFileSync(join(folder, `${name}.jsonl`), rows[name].map((row) => JSON.stringify(row)).join('\n'))
    const splits = ['train', 'validation', 'test', 'dev'].map((split) => `${split}: ${name}.jsonl`).join(', ')
    const task = chooseTasks([name]).tasks.get(name)!
    const fields = { ...task.written, dataset_kwargs: { data_files: 'DATA' } }
    const file = join(folder, `${name}.yaml`)
    writeFileSync(file, JSON.stringify(fields).replace('"DATA"', `{ ${splits} }`))
    return file
  })
  return chooseTasks(files)
}

/** Finds a continuation likelier by one nat for each letter e in it; writes what it is given. */
const standIn = (text = '', kind = 'hearth'): EvaluatedModel => {
  const logprob = (continuation: string) => continuation.split('e').length - 1 - 0.5 * continuation.length
  return {
    name: 'stand-in',
    kind,
    continuations: (requests, options) =>
      Promise.resolve(
        requests.map(
          ({ continuation }) => (
            options?.onAnswer?.(),
            { logprob: logprob(continuation), greedy: continuation === ' key' }
          ),
        ),
      ),
    texts: (texts) => Promise.resolve(texts.map((each) => -each.length)),
    generate: (requests) => Promise.resolve(requests.map(() => text)),
  }
}

describe('tasks that ship with Hearth', () => {
  test('are asked and scored, each in its own way', async () => {
    const chosen = localTasks(
      'arc_easy',
      'hellaswag',
      'piqa',
      'sciq',
      'winogrande',
      'lambada_openai',
      'mmlu_high_school_physics',
      'wikitext',
    )
    const prepared = await prepareTasks(chosen)
    const { results } = await evaluate(standIn(), prepared, chosen)
    // " the Sun": 1 - 4 = -3, " the Moon": 1 - 4.5, " a mirror": -4.5; " carbon dioxide": 1 - 7.5 is the worst of its four.
    expect(results.arc_easy).toMatchObject({ sample_len: 2, 'acc,none': 0.5 })
    expect(results.arc_easy!['acc_stderr,none']).toBeCloseTo(0.5, 12)
    expect(results.lambada_openai).toMatchObject({ 'acc,none': 1, 'acc_stderr,none': 'N/A' })
    expect(results.lambada_openai!['perplexity,none']).toBeCloseTo(Math.exp(1), 12)
    expect(results.winogrande!['acc,none']).toBe(0) // both continuations are the same: the first is taken, the second is right
    const { page } = rows.wikitext[0]!
    const shorter = ' = Fox =\n\nThe "quick" fox (red) ran 1,000 miles. == Den ==\nIt\'s 5°C-cold\n'.length
    expect(results.wikitext!['word_perplexity,none']).toBeCloseTo(Math.exp(shorter / page.split(/\s+/).length), 9)
    expect(results.wikitext!['bits_per_byte,none']).toBeCloseTo(shorter / Buffer.byteLength(page) / Math.LN2, 9)
    for (const task of ['hellaswag', 'piqa', 'sciq', 'mmlu_high_school_physics'])
      expect([0, 1]).toContain(results[task]!['acc,none'])
  })

  test('gsm8k takes the number behind the signs, or the last one', async () => {
    const chosen = localTasks('gsm8k')
    const prepared = await prepareTasks(chosen, { numFewshot: 1 })
    const said = await evaluate(standIn('It is 3.\n#### 5'), prepared, chosen)
    expect(said.results.gsm8k).toMatchObject({ 'exact_match,strict-match': 0.5, 'exact_match,flexible-extract': 0.5 })
    const loose = await evaluate(standIn('5 or rather $3.00'), prepared, chosen)
    expect(loose.results.gsm8k).toMatchObject({ 'exact_match,strict-match': 0, 'exact_match,flexible-extract': 0 })
    expect(() => checkAnswerable([standIn('', 'local-chat-completions')], chosen)).not.toThrow()
    expect(() => checkAnswerable([standIn('', 'local-chat-completions')], localTasks('piqa'))).toThrow(
      /chat endpoint[^]*piqa/,
    )
  })
})

test('groups weigh their tasks; results have the harness’s shape, and models stand side by side', async () => {
  const group = join(folder, 'both.yaml')
  const member = (name: string, target: number, count: number) => {
    writeFileSync(
      join(folder, `${name}.jsonl`),
      Array.from({ length: count }, (_, i) =>
        JSON.stringify({ q: `q${i}`, a: i % 4 === 0 ? 1 - target : target }),
      ).join('\n'),
    )
    return `  - { task: ${name}, dataset_path: json, dataset_kwargs: { data_files: { test: ${name}.jsonl } }, test_split: test, output_type: multiple_choice, doc_to_text: q, doc_to_target: a, doc_to_choice: [e, x], metric_list: [{ metric: acc }] }`
  }
  // The stand-in says e: right in 3 of 4, and in 2 of 8.
  writeFileSync(
    group,
    `group: both\naggregate_metric_list: [{ metric: acc }]\ntask:\n${member('one', 0, 4)}\n${member('two', 1, 8)}\n`,
  )
  const chosen = chooseTasks([group])
  const prepared = await prepareTasks(chosen)
  const evaluation = await evaluate(standIn(), prepared, chosen)
  expect(evaluation.results.one!['acc,none']).toBe(0.75)
  expect(evaluation.groups.both!['acc,none']).toBeCloseTo(5 / 12, 12)
  const errors = [Math.sqrt(0.25 / 4), Math.sqrt(12 / 7 / 8 / 8)] // s² = n·p(1 - p)/(n - 1)
  const pooled = (3 * errors[0]! ** 2 * 4 + 7 * errors[1]! ** 2 * 8) / 10 / 12
  expect(evaluation.groups.both!['acc_stderr,none']).toBeCloseTo(Math.sqrt(pooled), 12)
  const facts = {
    model: standIn(),
    prepared,
    groups: chosen.groups,
    limit: undefined,
    batchSize: 8,
    seed: 1234,
    bootstrapIterations: 10,
    began: 0,
    seconds: 1,
  }
  const path = writeResults(join(folder, 'out'), evaluation, facts, true)
  expect(path).toMatch(/out\/stand-in\/results_1970-01-01T00-00-00\.000\.json$/)
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
    results: { one: { alias: 'one', 'acc,none': 0.75 }, both: { sample_len: 12 } },
    groups: { both: { name: 'both' } },
    group_subtasks: { both: ['one', 'two'] },
    'n-shot': { one: 0 },
    'n-samples': { two: { original: 8, effective: 8 } },
    higher_is_better: { one: { acc: true } },
    config: { model: 'hearth', limit: null, fewshot_seed: 1234 },
    configs: { one: { dataset_path: 'json' } },
  })
  const [first] = readFileSync(path.replace('results_', 'samples_one_').replace(/json$/, 'jsonl'), 'utf8').split('\n')
  expect(JSON.parse(first!)).toMatchObject({
    doc_id: 0,
    target: 1,
    filter: 'none',
    metrics: ['acc'],
    acc: 0,
    arguments: [
      ['q0', ' e'],
      ['q0', ' x'],
    ],
  })
  const table = scoreRows([evaluation, evaluation], prepared, chosen.groups)
  expect(table.map(({ task, metric, scores }) => [task, metric, scores.length])).toEqual([
    ['one', 'acc', 2],
    ['two', 'acc', 2],
    ['both', 'acc', 2],
  ])
})

test('limits are of rows or a share of them; data that is missing is said with what there is', async () => {
  const chosen = localTasks('arc_easy')
  const [few] = await prepareTasks(chosen, { limit: 0.3 })
  expect([few!.rows, few!.questions.length]).toEqual([2, 1])
  const file = join(folder, 'missing.yaml')
  const text = (path: string) =>
    `task: missing\ndataset_path: ${path}\ntest_split: test\ndoc_to_text: a\ndoc_to_target: b\n`
  writeFileSync(file, `${text('json')}dataset_kwargs: { data_files: { test: nowhere.jsonl } }`)
  await expect(prepareTasks(chooseTasks([file]))).rejects.toThrow(/nowhere\.jsonl: no such file/)
  writeFileSync(file, text('.').replace('test_split: test', 'test_split: exam'))
  await expect(prepareTasks(chooseTasks([file]))).rejects.toThrow(/has no files for the split exam; it has [^]*\.jsonl/)
  writeFileSync(file, text('nothing here'))
  await expect(prepareTasks(chooseTasks([file]))).rejects.toThrow(/no folder beside [^]*and no data set/)
})
